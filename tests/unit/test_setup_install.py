"""The first run: what it prints, what it makes, and that it makes all of it or nothing."""

from __future__ import annotations

import json
import re
import signal
import stat
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from configobj import ConfigObj
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from espm import ledger
from espm.x509 import fingerprint, new_key, self_signed, spki_pin
from espm_setup import install, template
from espm_setup.__main__ import main
from espm_setup.errors import SetupError
from espm_setup.files import Owner
from espm_setup.hostnames import names_and_addresses
from espm_setup.layout import Layout
from espm_setup.options import parser

if TYPE_CHECKING:
    from collections.abc import Callable

    Setup = Callable[..., int]

FILES = {
    *("etc/espm.ini", "etc/groups.yaml", "etc/certs/espm.pem", "etc/certs/espm.key"),
    *("etc/certs/puppet.key", "enc/.espm-enc", "var/ledger.db", "var/ledger.db.lock"),
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a directory in which an administrator made etc and etc/certs."""
    (tmp_path / "etc/certs").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def setup(home: Path) -> Setup:
    """Return espm_setup for *home*, on a machine without Puppet."""

    def run(*words: str) -> int:
        places = ["-d", str(home / "etc"), "-c", str(home / "etc/certs")]
        return main([*places, "--puppet", str(home / "none"), *words])

    return run


@pytest.mark.parametrize("on_path", ["ours", "another", "none"])
def test_what_is_to_be_run_next_works_as_it_is_printed(
    setup: Setup,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    on_path: str,
) -> None:
    """By its name alone only where a shell finds this espm, and no other, by it."""
    ours, link = tmp_path / "venv/bin/espm", tmp_path / "sbin/espm"
    for place in (ours, link):
        place.parent.mkdir(parents=True)
    ours.write_text("#!/bin/sh\n")
    ours.chmod(0o755)
    if on_path == "ours":
        link.symlink_to(ours)
    elif on_path == "another":
        link.write_text("#!/bin/sh\n")
        link.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(ours.with_name("python")))
    monkeypatch.setenv("PATH", f"{link.parent}:/usr/bin:/bin")

    assert setup() == 0

    named = "espm" if on_path == "ours" else str(ours)
    assert f"\nThen: {named} check -c {tmp_path}/etc/espm.ini\n" in capsys.readouterr().out


def at(place: Path | str) -> list[str]:
    """Return the options for a set-up in *place*, on a machine without Puppet."""
    return ["-d", str(place), "-c", f"{place}/certs", "--puppet", "/none"]


def files(home: Path) -> set[str]:
    """Return the paths of all files below *home*."""
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}


def mode(path: Path) -> int:
    """Return the permission bits of *path*."""
    return stat.S_IMODE(path.stat().st_mode)


def test_it_prints_what_it_printed_in_2012(
    setup: Setup, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The two values come first, in the order and with the words of 2012."""
    assert setup() == 0
    shape = (
        r"Preshared Key:\n[A-Za-z0-9_-]{48}\n\n"
        r"Certificate:\n-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+\n"
        r"-----END CERTIFICATE-----\n\n\n"
        r"Please use these values in the appropriate form fields\n"
        r"when adding your Puppet account to your cloud platform\n {8}\n"
        rf"Writing config to: {re.escape(str(home))}/etc/espm\.ini\n"
    )
    assert re.match(shape, capsys.readouterr().out)


def test_it_makes_all_files_and_no_others(setup: Setup, home: Path) -> None:
    """Everything is where 2012 and the configuration expect it."""
    setup()

    assert files(home) == FILES


def test_secrets_can_be_read_by_their_owner_only(setup: Setup, home: Path) -> None:
    """Keys and configuration are 0600, the ledger's directory 0700, the ENC's setgid."""
    setup()

    secret = ["etc/espm.ini", "etc/certs/espm.key", "etc/certs/puppet.key", "var/ledger.db"]
    assert {mode(home / name) for name in secret} == {0o600}
    assert mode(home / "var") == 0o700
    assert mode(home / "enc") == 0o2750


def test_only_a_hash_of_the_preshared_key_is_kept(
    setup: Setup, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is printed is nowhere on the disk; its SHA-256 is in the platform's section."""
    setup("--platform", "cloud-1")
    psk = capsys.readouterr().out.splitlines()[1]

    platform = ConfigObj(str(home / "etc/espm.ini"))["platforms"]["cloud-1"]
    assert platform["psk_sha256"] == [sha256(psk.encode()).hexdigest()]
    assert [name for name in files(home) if psk.encode() in (home / name).read_bytes()] == []


def test_the_defaults_are_those_of_2012() -> None:
    """Without options it is /opt/espm/etc, its certs, and port 8443."""
    args = parser().parse_args([])

    assert (str(args.directory), str(args.certificates)) == ("/opt/espm/etc", "/opt/espm/etc/certs")
    assert args.port == 8443
    assert str(Layout.of(args).enc) == "/opt/espm/enc"
    assert Layout.of(args).ledger_url == "sqlite:////opt/espm/var/ledger.db"


def test_every_run_has_its_own_key_and_certificate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is derived from the machine."""
    seen = set()
    for name in ("a", "b"):
        place = str(tmp_path / name / "etc")
        assert main([*at(place), "--create", "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        seen |= {said["preshared_key"], said["certificate"], said["pinned_public_key"]}

    assert len(seen) == 6


def test_json_says_the_same_in_one_object(
    setup: Setup, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fingerprint and pin belong to the certificate that was written."""
    setup("--json")
    said = json.loads(capsys.readouterr().out)
    pem = (home / "etc/certs/espm.pem").read_bytes()

    assert said["certificate"].encode() == pem
    assert said["fingerprint_sha256"] == fingerprint(pem)
    assert said["pinned_public_key"] == spki_pin(pem)
    assert said["config"] == str(home / "etc/espm.ini")
    assert said["puppet"] is None


def test_without_puppet_the_configuration_says_what_to_fill_in(
    setup: Setup, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in 2012 a configuration is written anyway, and what is missing is said."""
    assert setup() == 0
    assert "# fill in: url =" in (home / "etc/espm.ini").read_text().splitlines()
    assert "No Puppet found on this machine" in capsys.readouterr().out


def test_a_puppet_that_is_elsewhere_leaves_nothing_to_fill_in(
    setup: Setup, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the options say all that the machine cannot."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(self_signed(new_key(), ["ca.example.com"]))

    assert setup("--puppet-url", "https://127.0.0.1:1", "--ca-file", str(ca_file)) == 0
    assert "# fill in" not in (home / "etc/espm.ini").read_text()
    said = capsys.readouterr().out
    assert "Puppet Server at https://127.0.0.1:1, which does not answer now" in said
    assert "No Puppet found" not in said
    assert "Next, connect Puppet with espm, where Puppet is:" in said


def test_full_scope_is_in_the_configuration_and_the_rules(
    setup: Setup, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The directory to heal from is to be filled in where no Puppet says it."""
    assert setup("--ca-scope", "full") == 0
    text = (home / "etc/espm.ini").read_text()

    assert ConfigObj(text.splitlines())["http_api"] == {"ca_scope": "full"}
    assert "# fill in: signed_dir =" in text.splitlines()
    assert '    name: "espm clean"' in capsys.readouterr().out


def test_prefix_scope_leaves_no_trace(
    setup: Setup, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The default asks for nothing that it does not need."""
    assert setup("--ca-scope", "prefix") == 0

    assert "clean" not in capsys.readouterr().out
    assert not {"[http_api]", "signed_dir"} & set((home / "etc/espm.ini").read_text().split())


@pytest.mark.parametrize("name", ["etc/espm.ini", "etc/certs/espm.pem", "etc/certs/puppet.key"])
def test_nothing_is_overwritten(
    name: str, setup: Setup, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file in the way is named, its content stays, and nothing else is made."""
    (home / name).write_text("mine")

    assert setup() == 73
    assert f"refusing to overwrite what exists: {home / name};" in capsys.readouterr().err
    assert files(home) == {name}
    assert (home / name).read_text() == "mine"


def test_a_dangling_link_is_in_the_way_too(setup: Setup, home: Path) -> None:
    """Nobody gets a key written to where a link of theirs points."""
    (home / "etc/certs/espm.key").symlink_to(home / "elsewhere")

    assert setup() == 73
    assert files(home) == set()


def test_a_second_run_changes_nothing(setup: Setup, home: Path) -> None:
    """The values that the platform has stay valid."""
    setup()
    before = {name: (home / name).read_bytes() for name in FILES}

    assert setup() == 73
    assert {name: (home / name).read_bytes() for name in files(home)} == before


def test_directories_must_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As in 2012; the message has the command that makes them."""
    place = tmp_path / "etc"

    assert main(at(place)) == 73
    assert f"mkdir -p {place} {place}/certs" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_create_makes_them(tmp_path: Path) -> None:
    """With --create nothing has to be there."""
    place = tmp_path / "opt/espm/etc"

    assert main([*at(place), "--create"]) == 0
    assert files(tmp_path / "opt/espm") == FILES


def test_a_directory_of_another_name_keeps_everything_together(tmp_path: Path) -> None:
    """Only beside a directory etc are var and enc siblings."""
    assert main([*at(tmp_path / "espm"), "--create"]) == 0
    assert {path.name for path in (tmp_path / "espm").iterdir() if path.is_dir()} == {
        "certs",
        "enc",
        "var",
    }


@pytest.mark.parametrize("step", ["_enc", "_ledger", "fetch"])
def test_a_failure_in_the_middle_leaves_nothing_behind(
    step: str, setup: Setup, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails, the two directories are as the administrator made them."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(install, step, fail)

    assert setup() == 1
    assert {str(path.relative_to(home)) for path in home.rglob("*")} == {"etc", "etc/certs"}


def test_a_missing_permission_has_its_own_exit_code(
    setup: Setup, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the file, and what was made before is taken back."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/opt/espm/var")

    monkeypatch.setattr(install, "_ledger", refuse)

    assert setup() == 77
    assert "Permission denied: /opt/espm/var; " in capsys.readouterr().err
    assert files(home) == set()


def test_a_key_that_nobody_could_read_is_not_made(
    setup: Setup, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the secrets cannot be printed everything is taken back."""

    def broken(*_: object) -> str:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("espm_setup.__main__.as_text", broken)

    assert setup() == 1
    assert files(home) == set()


def test_an_existing_ledger_and_groups_file_are_used(setup: Setup, home: Path) -> None:
    """They are the administrator's, and a set-up does not begin them anew."""
    (home / "var").mkdir()
    url = f"sqlite:///{home}/var/ledger.db"
    ledger.upgrade(url)
    (home / "etc/groups.yaml").write_text("groups: []\n")
    before = (home / "var/ledger.db").read_bytes()

    assert setup() == 0
    assert (home / "var/ledger.db").read_bytes() == before
    assert (home / "etc/groups.yaml").read_text() == "groups: []\n"


def test_a_directory_that_is_not_espms_is_not_made_its_enc(setup: Setup, home: Path) -> None:
    """Documents would mingle with other files, and their mode would change."""
    (home / "enc").mkdir(mode=0o755)
    (home / "enc/other").write_text("mine")

    assert setup() == 73
    assert mode(home / "enc") == 0o755


def test_a_password_in_the_ledgers_url_is_refused(
    setup: Setup, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other users can read command lines; the message does not repeat it."""
    assert setup("--ledger", "postgresql+psycopg://espm:hunter2@db/espm") == 1
    assert "hunter2" not in capsys.readouterr().err
    assert files(home) == set()


@pytest.mark.parametrize(
    ("kind", "expected"), [("ec", ec.EllipticCurvePublicKey), ("rsa", rsa.RSAPublicKey)]
)
def test_the_type_of_the_keys_can_be_chosen(
    kind: str, expected: type, setup: Setup, home: Path
) -> None:
    """EC P-256 by default, RSA for clients that know nothing else."""
    setup("--key-type", kind)
    certificate = x509.load_pem_x509_certificate((home / "etc/certs/espm.pem").read_bytes())

    assert isinstance(certificate.public_key(), expected)


def test_the_certificate_has_the_names_it_is_called_by(setup: Setup, home: Path) -> None:
    """Names and addresses of --name and --san are subject alternative names for ten years."""
    setup("--name", "espm.example.com", "--san", "192.0.2.7", "--san", "API.example.com")
    certificate = x509.load_pem_x509_certificate((home / "etc/certs/espm.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert names.get_values_for_type(x509.DNSName) == ["espm.example.com", "api.example.com"]
    assert "192.0.2.7" in [str(a) for a in names.get_values_for_type(x509.IPAddress)]
    validity = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert validity.days == 3650


@pytest.mark.parametrize("name", ["a b", "", "ex_ample..com", "é.example.com", "x" * 64, "a/b"])
def test_what_is_no_name_is_refused(name: str) -> None:
    """A certificate with it would match nobody's call."""
    with pytest.raises(SetupError, match="neither a host name nor an IP address"):
        names_and_addresses("espm.example.com", [name])


@pytest.mark.parametrize(
    "words",
    [
        *(["-p", "0"], ["-p", "x"], ["--platform", "Bad!"], ["--ca", "other"], ["--days", "0"]),
        *(["--puppet-url", "http://puppet"], ["--apply", "--unapply"], ["-d", ""], ["--psk", "x"]),
        *(["--ca-scope", "x"], ["--ca-scope", "full", "--ca", "puppetserver_ca"]),
    ],
)
def test_wrong_usage_has_exit_code_2(words: list[str], home: Path) -> None:
    """The parser says what was wrong before anything is looked at."""
    with pytest.raises(SystemExit) as caught:
        main(words)

    assert caught.value.code == 2


def test_a_user_who_does_not_exist_is_named(
    setup: Setup, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is made for nobody."""
    assert setup("--user", "no-such-user") == 1
    assert "no user 'no-such-user'" in capsys.readouterr().err
    assert files(home) == set()


@given(value=st.text(st.characters(codec="utf-8"), max_size=30))
def test_every_value_is_read_back_as_it_was_written(value: str) -> None:
    """Commas, quotes, signs and blanks survive the ini file, or are refused."""
    try:
        text = template.render({"a": {"one": value, "many": [value, "x"], "single": [value]}})
    except SetupError:
        return
    read = ConfigObj(text.splitlines(), interpolation=False)["a"]

    assert (read["one"], read["many"], read["single"]) == (value, [value, "x"], [value])


@pytest.mark.parametrize(
    ("directory_mode", "file_mode", "readable"),
    [(0o755, 0o644, True), (0o750, 0o644, False), (0o755, 0o640, False)],
)
def test_who_may_read_a_file_is_known_before_it_is_named_to_them(
    directory_mode: int, file_mode: int, *, readable: bool
) -> None:
    """Every directory on the way counts, as it does for the kernel."""
    stranger = Owner("nobody", 65534, 65534, privileged=True)
    # Not one of pytest's directories, which are closed to strangers.
    with TemporaryDirectory() as name:
        place = Path(name)
        (place / "ca.conf").write_text("")
        (place / "ca.conf").chmod(file_mode)
        place.chmod(directory_mode)

        assert stranger.reads(place / "ca.conf") == readable


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_ends_it_gets_the_signals_code_and_nothing_is_left(
    number: int, setup: Setup, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C, SIGTERM and a closed terminal take back what was made, as any failure does."""
    monkeypatch.setattr(install, "_ledger", lambda *_: signal.raise_signal(number))
    try:
        code = setup()
    except SystemExit as exc:
        code = int(str(exc))

    assert code == 128 + number
    assert files(home) == set()
