"""The ini file: what it becomes, and what is said of each mistake in it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from espm import config
from espm.config import spec as configspec
from espm.errors import ConfigError
from espm.model import Limits
from tests.configsamples import DIGEST, OTHER_DIGEST, Sample

if TYPE_CHECKING:
    from pathlib import Path


SPECS = {
    "espm.ca.http_api": """
# What it may touch.
scope = option("prefix", "full", default="prefix")
""",
    "espm.ca.puppetserver_ca": """
# The program.
program = path()
""",
    "espm.classifier.builtin": """
# Where the documents are.
directory = path(default="/opt/espm/var/enc")
""",
}


def _module(name: str) -> SimpleNamespace:
    """Return a backend, or a catalogue, that calls Puppet over HTTPS."""
    return SimpleNamespace(SPEC=SPECS.get(name, ""), NEEDS_PUPPET=True)


@pytest.fixture(autouse=True)
def specs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backends with sections that these tests know."""
    monkeypatch.setattr(configspec, "import_module", _module)


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """Return a configuration that is right, with its files."""
    return Sample.make(tmp_path)


def faults(path: Path) -> list[str]:
    """Return the faults of the file at *path*, without its name."""
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert all(fault.startswith(f"{path}: ") for fault in caught.value.faults)
    return [fault.removeprefix(f"{path}: ") for fault in caught.value.faults]


def test_a_minimal_file_gets_the_documented_defaults(sample: Sample) -> None:
    """Only paths, the Puppet server and one platform have to be said."""
    loaded = config.load(sample.write())

    assert (loaded.server.host, loaded.server.port, loaded.server.threads) == ("0.0.0.0", 8443, 64)
    assert loaded.ledger_url == "sqlite:////opt/espm/var/ledger.db"
    assert (loaded.ca_backend, loaded.key_type) == ("http_api", "ec")
    assert (loaded.classifier_backend, loaded.check_classes) == ("builtin", True)
    assert Limits() == loaded.platforms[0].limits


def test_the_ca_is_the_compile_server_unless_it_is_named(sample: Sample) -> None:
    """CA and compile server are one host in most places."""
    assert config.load(sample.write()).access.ca_url == "https://puppet.example.com:8140"

    sample.set("puppet", ca_url="https://ca.example.com:8140/")

    assert config.load(sample.write()).access.ca_url == "https://ca.example.com:8140"


def test_servers_and_espm_itself_are_reserved(sample: Sample) -> None:
    """Nobody can take on a node under the name of a Puppet server or of espm."""
    sample.set("puppet", ca_url="https://ca.example.com:8140", reserved="Db.example.com, x.y")

    expected = {"espm.example.com", "puppet.example.com", "ca.example.com", "db.example.com", "x.y"}
    assert expected == config.load(sample.write()).reserved


def test_limits_are_lists_and_a_lone_comma_is_an_empty_one(sample: Sample) -> None:
    """An administrator can allow nothing, something or everything."""
    sample.platform(
        groups=",",
        classes="ntp, profile::*",
        networks="192.0.2.0/24, 2001:db8::/32",
        extensions="pp_role",
    )

    limits = config.load(sample.write()).platforms[0].limits

    assert limits.groups == ()
    assert limits.classes == ("ntp", "profile::*")
    assert limits.networks == ("192.0.2.0/24", "2001:db8::/32")
    assert limits.extensions == ("pp_role",)


def test_two_keys_are_allowed_for_rotation(sample: Sample) -> None:
    """The old preshared key stays valid beside the new one."""
    sample.platform(psk_sha256=f"{DIGEST}, {OTHER_DIGEST}")

    assert config.load(sample.write()).platforms[0].psk_sha256 == (DIGEST, OTHER_DIGEST)


def test_an_old_key_may_have_an_end(sample: Sample) -> None:
    """It is a time in UTC, and no limit of the platform's; without it there is none."""
    before = config.load(sample.write()).platforms[0]
    sample.platform(
        psk_sha256=f"{DIGEST}, {OTHER_DIGEST}", old_psk_until="2026-11-26T20:00:00Z", groups="web"
    )

    platform = config.load(sample.write()).platforms[0]

    assert before.old_psk_until is None
    assert platform.old_psk_until == datetime(2026, 11, 26, 20, tzinfo=UTC)
    assert platform.limits == Limits(groups=("web",))


def test_a_file_is_looked_at_before_it_is_in_its_place(sample: Sample) -> None:
    """What it would say is known from its content; its faults are told with the place's name."""
    path = sample.write()
    content = path.read_bytes()
    path.unlink()

    assert [each.name for each in config.platforms_in(content, path)] == ["cloud"]
    with pytest.raises(ConfigError, match=f"{path}: .*neither"):
        config.platforms_in(content + b"nonsense\n", path)


def test_backends_get_the_shared_keys_and_their_own(sample: Sample) -> None:
    """connect() of a CA backend sees [ca] and its own section."""
    sample.set("ca", crl_file="/etc/ca_crl.pem")

    options = config.load(sample.write()).ca_options

    assert options["crl_file"] == "/etc/ca_crl.pem"
    assert options["scope"] == "prefix"


def test_secrets_stay_out_of_the_representation(sample: Sample) -> None:
    """A configuration in a log line shows neither key digests nor the ledger's password."""
    sample.set("ledger", url="postgresql+psycopg://espm:s3cret@localhost/espm")

    shown = repr(config.load(sample.write()))

    assert "s3cret" not in shown
    assert DIGEST not in shown


def test_a_configuration_cannot_be_changed(sample: Sample) -> None:
    """What was validated is what is used."""
    loaded: Any = config.load(sample.write())

    with pytest.raises(FrozenInstanceError):
        loaded.key_type = "rsa"
    with pytest.raises(TypeError):
        loaded.ca_options["scope"] = "full"


def test_every_mistake_is_said_at_once_in_the_order_of_the_file(sample: Sample) -> None:
    """One run of the check shows the administrator everything there is to mend."""
    sample.set("server", port="abc", prot="1")
    sample.drop("puppet", "ca_file")
    sample.set("classifier", check_classes="perhaps")
    sample.platform(psk_sha256="1234")

    found = faults(sample.write())

    places = [
        "[server] port:",
        "[server] prot:",
        "[platforms][cloud] psk_sha256:",
        "[puppet] ca_file:",
        "[classifier] check_classes:",
    ]
    assert places == [" ".join(f.split()[:2]) for f in found]


def test_a_missing_key_is_explained(sample: Sample) -> None:
    """The fault says what the key is for, in the words of the specification."""
    sample.drop("puppet", "url")

    expected = "[puppet] url: missing. URL of the compile server, for example https://puppet.example.com:8140."
    assert [expected] == faults(sample.write())


def _alone(name: str) -> SimpleNamespace:
    """Return a backend, or a catalogue, that never calls Puppet over HTTPS."""
    return SimpleNamespace(SPEC=SPECS.get(name, ""), KEY_TYPE="rsa")


def test_nothing_of_puppet_server_is_needed_where_nobody_calls_it(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old Puppet is reached by its tools alone; espm has no certname of its own then."""
    monkeypatch.setattr(configspec, "import_module", _alone)
    sample.drop("puppet")
    loaded = config.load(sample.write())

    assert (loaded.certname, loaded.access.ca_url, loaded.reserved) == ("", "", frozenset())


@pytest.mark.parametrize("key", config.NEEDED)
def test_each_key_that_a_call_to_puppet_needs_is_asked_for(sample: Sample, key: str) -> None:
    """Also when it is there and empty."""
    sample.set("puppet", **{key: ""})

    assert [fault.partition(" missing. ")[0] for fault in faults(sample.write())] == [
        f"[puppet] {key}:"
    ]


def test_the_type_of_keys_is_what_suits_the_backend(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the administrator says it."""
    monkeypatch.setattr(configspec, "import_module", _alone)
    suits = config.load(sample.write()).key_type
    sample.set("ca", key_type="ec")

    assert (suits, config.load(sample.write()).key_type) == ("rsa", "ec")


def test_a_missing_section_is_told_by_its_keys(sample: Sample) -> None:
    """Somebody who left out a section learns all that it must hold."""
    sample.drop("puppet")

    found = [fault.split(":")[0] for fault in faults(sample.write())]
    assert set(found) == {
        "[puppet] url",
        "[puppet] certificate",
        "[puppet] private_key",
        "[puppet] ca_file",
    }


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("server", "host", "not a host", "neither an IP address nor a host name"),
        ("server", "host", "300.1.1.1", "neither an IP address nor a host name"),
        ("server", "port", "0", "too small"),
        ("server", "port", "65536", "too big"),
        ("server", "port", "1, 2", "wrong type"),
        ("server", "threads", "many", "wrong type"),
        ("server", "certificate", "certs/espm.pem", "not an absolute path"),
        ("server", "certificate", "/a, /b", "a comma makes this a list"),
        ("server", "certificate", "", "empty"),
        ("puppet", "url", "http://puppet.example.com:8140", "https://host:8140"),
        ("puppet", "url", "https://puppet.example.com:99999", "https://host:8140"),
        ("puppet", "url", "https://[::1", "https://host:8140"),
        ("puppet", "url", "https://puppet.example.com/path", "https://host:8140"),
        ("puppet", "url", "https://user:word@puppet.example.com", "https://host:8140"),
        ("puppet", "timeout", "0", "from 1 to 600"),
        ("puppet", "timeout", "nan", "not a number of seconds"),
        ("puppet", "reserved", "no spaces", "cannot be a certname"),
        ("ledger", "url", "sqlite:///relative.db", "four slashes"),
        ("ledger", "url", "sqlite://", "four slashes"),
        ("ledger", "url", "mysql://h/n", "four slashes"),
        ("ledger", "url", "postgresql://h/n", "four slashes"),
        ("ca", "backend", "htp_api", 'the value "htp_api" is unacceptable'),
        ("ca", "key_type", "dsa", 'the value "dsa" is unacceptable'),
        ("http_api", "scope", "wide", 'the value "wide" is unacceptable'),
        ("classifier", "backend", "console", 'the value "console" is unacceptable'),
        ("classifier", "classes_cache", "-1", "from 0 to 86400"),
    ],
)
def test_a_bad_value_is_refused(
    sample: Sample, section: str, key: str, value: str, said: str
) -> None:
    """Each kind of value is checked before anything relies on it."""
    sample.set(section, **{key: value})

    [fault] = faults(sample.write())

    assert fault.startswith(f"[{section}] {key}: ")
    assert said in fault


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("psk_sha256", ",", "one or two"),
        ("psk_sha256", DIGEST.upper().replace("0", "A"), "lower-case"),
        ("psk_sha256", f"{DIGEST}, {DIGEST}", "write it once"),
        ("psk_sha256", ",".join(c * 64 for c in "abc"), "one or two"),
        ("old_psk_until", "2026-11-26 20:00", "2026-11-26T20:00:00Z"),
        ("old_psk_until", "2026-11-26T20:00:00+01:00", "2026-11-26T20:00:00Z"),
        ("old_psk_until", "2026-1-6T20:00:00Z", "2026-11-26T20:00:00Z"),
        ("old_psk_until", "2026-02-30T20:00:00Z", "2026-11-26T20:00:00Z"),
        ("old_psk_until", "a, b", "one value"),
        ("certnames", "Web-*", "lower case"),
        ("certnames", "", "lone"),
        ("groups", "", "lone"),
        ("classes", "Profile", "lower case"),
        ("environments", "a b", "environments"),
        ("networks", "192.0.2.1/24", "did you mean 192.0.2.0/24?"),
        ("networks", "2001:db8::1/32", "did you mean 2001:db8::/32?"),
        ("networks", "office", "write it like"),
        ("extensions", "pp role", "extensions"),
    ],
)
def test_a_bad_limit_is_refused(sample: Sample, key: str, value: str, said: str) -> None:
    """A limit that would silently match nothing, or too much, never gets in force."""
    sample.platform(**{key: value})

    [fault] = faults(sample.write())

    assert fault.startswith(f"[platforms][cloud] {key}: ")
    assert said in fault


def test_secret_values_are_never_repeated(sample: Sample) -> None:
    """Messages about the ledger's URL and the keys can be shown to anybody."""
    sample.set("ledger", url="postgres://espm:s3cret,word@h/n")
    sample.platform(psk_sha256="f00dcafe")

    said = "\n".join(faults(sample.write()))

    assert "s3cret" not in said
    assert "f00dcafe" not in said


def test_unknown_keys_come_with_a_suggestion(sample: Sample) -> None:
    """A typo is found, and so is what was meant."""
    sample.set("server", prot="8443")
    sample.set("puppet", nonsense="1")
    sample.set("clasifier", backend="builtin")
    sample.platform(certname="*")

    found = faults(sample.write())

    assert "[server] prot: there is no such key; did you mean port?" in found
    assert "[puppet] nonsense: there is no such key; take it out" in found
    assert "clasifier: there is no such section; did you mean classifier?" in found
    assert "[platforms][cloud] certname: there is no such key; did you mean certnames?" in found


def test_sections_of_other_backends_are_checked_but_need_not_be_whole(sample: Sample) -> None:
    """A backend can be prepared before it is switched on, and its typos don't hide."""
    sample.set("puppetserver_ca", progam="/usr/bin/puppetserver")

    [fault] = faults(sample.write())

    assert fault.startswith("[puppetserver_ca] progam: there is no such key; did you mean program?")


def test_keys_before_the_first_section_are_unknown(sample: Sample) -> None:
    """The file has no keys outside its sections."""
    path = sample.write()
    path.write_text("port = 1\n" + path.read_text())

    assert faults(path) == ["port: there is no such key; take it out"]


def test_a_key_in_place_of_a_section_is_refused(sample: Sample) -> None:
    """``puppet = x`` is not the section ``[puppet]``."""
    sample.drop("puppet")
    path = sample.write()
    path.write_text("puppet = 1\n" + path.read_text())

    assert "puppet: this is a section, write [it] on a line of its own" in faults(path)


def test_a_section_in_place_of_a_key_is_refused(sample: Sample) -> None:
    """``[[port]]`` is not the key ``port``."""
    sample.set("server", threads="5\n[[port]]")

    assert "[server] port: this is a key, write it = value" in faults(sample.write())


def test_a_hash_that_would_cut_a_value_short_is_refused(sample: Sample) -> None:
    """A # inside an unquoted value is no comment to the administrator who wrote it."""
    sample.set("ledger", url="sqlite:////var/a#b.db")

    expected = ["[ledger] url: the # would cut the value short; put the value in quotes"]
    assert expected == faults(sample.write())


def test_a_quoted_hash_and_a_comment_are_fine(sample: Sample) -> None:
    """Quotes protect a #, and a comment may follow a value."""
    sample.set("ledger", url='"sqlite:////var/a#b.db"  # a comment')

    assert config.load(sample.write()).ledger_url == "sqlite:////var/a#b.db"


def test_nothing_is_interpolated(sample: Sample) -> None:
    """A % in a value is a %."""
    sample.set("ledger", url="postgresql+psycopg://espm:%(x)s@h/n")

    assert config.load(sample.write()).ledger_url == "postgresql+psycopg://espm:%(x)s@h/n"


def test_duplicates_and_broken_lines_are_refused_together(sample: Sample) -> None:
    """Of two values of one key neither is taken, and each broken line is named."""
    path = sample.write()
    path.write_text("[server]\nport = 1\nport = 2\nword s3cret\n[[[deep]]]\n" + path.read_text())

    found = faults(path)

    assert "line 3: this key or section is there twice; keep one" in found
    assert any(fault.startswith("line 4: neither") for fault in found)
    assert any(fault.startswith("line 5: the brackets") for fault in found)
    assert not any("s3cret" in fault for fault in found)


def test_a_duplicate_section_is_refused(sample: Sample) -> None:
    """Two sections of one name are a mistake, not a merge."""
    path = sample.write()
    path.write_text(path.read_text() + "\n[server]\nhost = 127.0.0.1\n")

    assert any("is there twice" in fault for fault in faults(path))


def test_there_must_be_a_platform(sample: Sample) -> None:
    """An espm that nobody may call is a mistake."""
    sample.drop("platforms")

    assert faults(sample.write()) == [
        "[platforms] NAME: there is no platform; add [[NAME]] with its psk_sha256"
    ]


@pytest.mark.parametrize("name", ["Cloud", "-cloud", "a" * 33, "a b", "a.b"])
def test_platform_names_are_plain(sample: Sample, name: str) -> None:
    """A platform's name goes into logs, paths and the ledger."""
    sample.platform(name, psk_sha256=OTHER_DIGEST)

    [fault] = faults(sample.write())

    assert fault.startswith(f"[platforms] {name}: a platform's name has")


def test_two_platforms_never_share_a_key(sample: Sample) -> None:
    """A key says who calls, so it belongs to one."""
    sample.platform("other", psk_sha256=DIGEST)

    found = faults(sample.write())

    assert [fault.split(":")[0] for fault in found] == [
        "[platforms][cloud] psk_sha256",
        "[platforms][other] psk_sha256",
    ]


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602, 0o604])
def test_secrets_that_others_can_reach_are_refused(sample: Sample, mode: int) -> None:
    """The ini file and both private keys are secrets; the message says the cure."""
    path = sample.write()
    for file in (path, sample.server_key, sample.puppet_key):
        file.chmod(mode)

    found = faults(path)

    assert len(found) == 3
    assert all("chmod u=rw,g-w,o= " in fault for fault in found)


def test_files_that_are_not_there_are_told(sample: Sample) -> None:
    """A missing file is found at the check, not at the first request."""
    path = sample.write()
    sample.server_key.unlink()
    sample.puppet_certificate.unlink()

    found = faults(path)

    assert [f.split(":")[0] for f in found] == ["[server] private_key", "[puppet] certificate"]
    assert all("No such file or directory" in fault for fault in found)


def test_a_directory_is_not_a_file(sample: Sample, tmp_path: Path) -> None:
    """Naming a directory where a file belongs is one clear line."""
    sample.set("puppet", ca_file=str(tmp_path))

    assert [f"[puppet] ca_file: {tmp_path} is not a file"] == faults(sample.write())
    assert faults(tmp_path) == ["cannot be read: Is a directory"]


def test_a_client_certificate_must_be_one(sample: Sample) -> None:
    """Its common name is needed, and rubbish has none."""
    sample.puppet_certificate.write_text("rubbish")

    [fault] = faults(sample.write())

    assert fault.endswith("is not a certificate (PEM) with a common name")


def test_a_file_that_is_missing_is_one_line(tmp_path: Path) -> None:
    """No traceback for a misspelt file name."""
    assert faults(tmp_path / "no.ini") == ["cannot be read: No such file or directory"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"#" * (256 * 1024 + 1), "larger than 256 KiB"),
        (b"[server]\nhost = \xff\n", "not UTF-8"),
        (b"[server]\0\n", "NUL"),
    ],
)
def test_what_is_no_text_file_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    """Binary rubbish and floods are refused before they are parsed."""
    path = tmp_path / "espm.ini"
    path.write_bytes(content)
    path.chmod(0o600)

    [fault] = faults(path)

    assert said in fault


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm(sample: Sample) -> None:
    """Files that were edited elsewhere load as well."""
    path = sample.write()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))

    assert config.load(path).server.port == 8443


LINES = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["[server]", "[platforms]", "[[cloud]]", "[puppet]", "[ca]", "port = 1", "["]),
    st.builds(
        "{} = {}".format, st.sampled_from(["url", "host", "backend", "x"]), st.text(max_size=30)
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINES, max_size=12))
def test_arbitrary_text_is_a_config_error_and_nothing_else(
    tmp_path: Path, lines: list[str]
) -> None:
    """Whatever is in the file, the administrator gets faults and no traceback."""
    path = tmp_path / "espm.ini"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    path.chmod(0o600)

    with pytest.raises(ConfigError) as caught:
        config.load(path)

    assert caught.value.faults


VALUES = st.tuples(
    st.sampled_from(
        [
            ("server", "host"),
            ("puppet", "url"),
            ("ledger", "url"),
            ("puppet", "ca_file"),
            ("puppet", "certificate"),
            ("puppet", "reserved"),
            ("ca", "backend"),
            ("puppet", "timeout"),
        ]
    ),
    st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=30),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=VALUES)
def test_arbitrary_values_never_raise_anything_else(
    tmp_path: Path, change: tuple[tuple[str, str], str]
) -> None:
    """A value is taken or refused; it never breaks the reading."""
    sample = Sample.make(tmp_path)
    (section, key), value = change
    sample.set(section, **{key: f'"{value}"'})

    outcome: tuple[object, ...]
    try:
        outcome = config.load(sample.write()).platforms
    except ConfigError as exc:
        outcome = exc.faults

    assert outcome


def broken(sample: Sample, right: str, wrong: str) -> list[str]:
    """Return the faults of the sample with one line of it exchanged."""
    path = sample.write()
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong))
    return faults(path)


@pytest.mark.parametrize("wrong", ["[ledger", "ledger]", "[[ledger]", "[ledger]]", "[server]"])
def test_a_broken_header_is_one_fault(sample: Sample, wrong: str) -> None:
    """The keys below it are not those of the section before it."""
    sample.drop("puppet")
    sample.set("ledger", url="sqlite:////opt/espm/var/ledger.db", backend="no key of it")
    whole = Sample.make(sample.directory)
    sample.sections["puppet"] = whole.sections["puppet"]

    [fault] = broken(sample, "[ledger]", wrong)

    assert fault.startswith("line ")


@pytest.mark.parametrize("name", ["server", "platforms", "puppet"])
def test_a_broken_header_of_a_needed_section_is_one_fault(sample: Sample, name: str) -> None:
    """Neither is the section called missing, nor what it has called unknown."""
    [fault] = broken(sample, f"[{name}]", f"[{name}")

    assert fault.startswith("line ")


def test_what_is_unknown_elsewhere_is_said_beside_a_broken_header(sample: Sample) -> None:
    """The next good header ends what a broken one makes unreadable."""
    sample.set("ledger", url="sqlite:////opt/espm/var/ledger.db")
    sample.set("classifier", nonsense="1")

    first, second = broken(sample, "[ledger]", "[ledger")

    assert first.startswith("line ")
    assert second == "[classifier] nonsense: there is no such key; take it out"


def test_a_line_that_is_no_header_hides_no_missing_section(sample: Sample) -> None:
    """Only a header can be the one of a section that is not there."""
    sample.drop("puppet")

    found = broken(sample, "[platforms]", "nonsense\n[platforms]")

    assert "[puppet] url: missing. " in "\n".join(found)
