"""``espm check``: each thing it looks at, right and wrong."""

from __future__ import annotations

import errno
import json
import os
import pwd
import re
import socket
import ssl
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from espm import check, compose, config
from espm.check import enc, own, puppet, state
from espm.check.finding import Context, Finding, State
from espm.config import spec as configspec
from espm.errors import BackendUnavailable, ConfigError, EnvironmentUnknown
from espm.ledger import open_ledger, upgrade
from espm.model import Catalogue, Certname, Classification, Group, PuppetClass
from espm.puppet_http import Reply
from tests.configsamples import DIGEST, OTHER_DIGEST, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Puppet CA: test")])


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """Return a configuration that is right, with ENC directory and groups file in scratch."""
    made = Sample.make(tmp_path)
    (tmp_path / "enc").mkdir()
    (tmp_path / "groups.yaml").write_text("groups: []\n")
    made.set("ledger", url=f"sqlite:///{tmp_path}/ledger.db")
    made.set("builtin", directory=str(tmp_path / "enc"))
    made.set("builtin", groups_file=str(tmp_path / "groups.yaml"))
    return made


@pytest.fixture
def context(sample: Sample) -> Any:
    """Return a context whose parts can be exchanged."""
    return Context(config.load(sample.write()))


def states(findings: Iterator[Finding]) -> list[State]:
    """Return the states of *findings*."""
    return [finding.state for finding in findings]


def identity(directory: Path, stem: str, *, days: float, names: bool = True) -> None:
    """Write a self-signed certificate that is good for *days*, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    end = datetime.now(UTC) + timedelta(days=days)
    builder = x509.CertificateBuilder().subject_name(NAME).issuer_name(NAME).serial_number(1)
    builder = builder.public_key(key.public_key()).not_valid_after(end)
    builder = builder.not_valid_before(datetime.now(UTC) - timedelta(days=90))
    if names:
        sans = x509.SubjectAlternativeName([x509.DNSName("espm.example.com")])
        builder = builder.add_extension(sans, critical=False)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (directory / f"{stem}.pem").write_bytes(pem)
    (directory / f"{stem}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def crl(*, days: float, issuer: x509.Name = NAME) -> bytes:
    """Return a CRL that is good for *days* more."""
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer)
    builder = builder.last_update(now - timedelta(days=90)).next_update(now + timedelta(days=days))
    made = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


def test_a_failing_check_does_not_stop_the_others(context: Context) -> None:
    """Whatever one check runs into, the rest of the screen is there."""

    def down(_: Context) -> Iterator[Finding]:
        msg = "the CA is away"
        raise BackendUnavailable(msg)

    def broken(_: Context) -> Iterator[Finding]:
        yield Finding("b", State.OK, "half")
        msg = "oops"
        raise RuntimeError(msg)

    def fine(_: Context) -> Iterator[Finding]:
        yield Finding("c", State.OK, "fine")

    found = list(check.look(context, [("a", down, ""), ("b", broken, ""), ("c", fine, "")]))

    assert [(f.subject, f.state, f.what) for f in found] == [
        ("a", State.FAIL, "the CA is away"),
        ("b", State.OK, "half"),
        ("b", State.FAIL, "this could not be looked at (RuntimeError: oops)"),
        ("c", State.OK, "fine"),
    ]


def test_every_fault_of_a_backend_is_a_line(context: Context) -> None:
    """Ten mistakes in the groups file are ten lines."""

    def wrong(_: Context) -> Iterator[Finding]:
        raise ConfigError(["one", "two"])

    assert [f.what for f in check.look(context, [("ENC", wrong, "")])] == ["one", "two"]


@pytest.mark.parametrize(
    ("days", "expected"), [(100, State.OK), (10, State.WARN), (-1, State.FAIL)]
)
def test_certificates_run_out(context: Context, tmp_path: Path, days: int, expected: State) -> None:
    """There is a warning for the last 30 days."""
    identity(tmp_path, "server", days=days)
    identity(tmp_path, "puppet", days=days)

    assert states(own.server_certificate(context)) == [expected]
    assert states(own.client_certificate(context)) == [expected]


def test_a_key_of_another_certificate_is_found(context: Context, tmp_path: Path) -> None:
    """Certificate and key must belong together."""
    before = (tmp_path / "server.pem").read_bytes()
    identity(tmp_path, "server", days=100)
    (tmp_path / "server.pem").write_bytes(before)

    assert State.FAIL in states(own.server_certificate(context))


def test_a_certificate_without_names_is_found(context: Context, tmp_path: Path) -> None:
    """Clients look at the subject alternative names only."""
    identity(tmp_path, "server", days=100, names=False)

    assert states(own.server_certificate(context)) == [State.OK, State.FAIL]


def test_wide_limits_are_worth_a_warning(context: Context) -> None:
    """The check recommends narrowing what is open by default."""
    [finding] = own.limits(context)

    assert finding.state is State.WARN
    assert finding.remedy == "narrow certnames, groups, classes, networks in [[cloud]]"


def test_narrow_limits_and_one_key_are_fine(sample: Sample) -> None:
    """A platform that is limited gets no remark."""
    sample.platform(certnames="web-*", groups="web", classes=",", networks="192.0.2.0/24")

    assert states(own.limits(Context(config.load(sample.write())))) == [State.OK]


def test_a_second_key_is_worth_a_warning(sample: Sample) -> None:
    """An old key should not stay for ever."""
    sample.platform(psk_sha256=f"{DIGEST}, {OTHER_DIGEST}")

    found = list(own.limits(Context(config.load(sample.write()))))

    assert "an old preshared key is still accepted" in [finding.what for finding in found]


@pytest.mark.parametrize(
    ("until", "expected", "remedy"),
    [
        ("2999-01-31T20:00:00Z", "an old preshared key is accepted until 2999-01-31T20:00:00Z", ""),
        (
            "2020-01-31T20:00:00Z",
            "an old preshared key is refused since 2020-01-31T20:00:00Z",
            "take the second digest and old_psk_until out of [[cloud]]",
        ),
    ],
)
def test_the_end_of_an_old_key_is_said(
    sample: Sample, until: str, expected: str, remedy: str
) -> None:
    """One that ends by itself is no cause for a warning; what is left of it afterwards is."""
    sample.platform(psk_sha256=f"{DIGEST}, {OTHER_DIGEST}", old_psk_until=until)

    *_, finding = own.limits(Context(config.load(sample.write())))

    assert (finding.what, finding.remedy) == (expected, remedy)
    assert finding.state is (State.WARN if remedy else State.OK)


def test_what_to_do_names_the_server(context: Context) -> None:
    """A check that raises comes with the remedy of its row, filled in from the configuration."""

    def down(_: Context) -> Iterator[Finding]:
        msg = "away"
        raise BackendUnavailable(msg)

    [finding] = check.look(context, [("CA", down, "go to {config.access.ca_url}")])

    assert finding.remedy == "go to https://puppet.example.com:8140"


def test_a_command_line_program_must_be_there(sample: Sample) -> None:
    """The backend that runs a command has no rights to try, but a program to find."""
    sample.set("ca", backend="puppetserver_ca")
    sample.set("puppetserver_ca", program="/no/such/program")

    assert states(puppet.rights(Context(config.load(sample.write())))) == [State.FAIL]

    sample.set("puppetserver_ca", program="/bin/sh")

    assert states(puppet.rights(Context(config.load(sample.write())))) == [State.OK]


@pytest.mark.parametrize(("status", "expected"), [(404, State.OK), (403, State.FAIL)])
def test_the_right_at_the_ca_is_tried(context: Any, status: int, expected: State) -> None:
    """A name that nobody has must be unknown, not forbidden."""
    asked = []

    def call(method: str, path: str, **_: object) -> Reply:
        asked.append((method, path.rpartition("/")[0]))
        return Reply(status, b"")

    context.ca_server = SimpleNamespace(call=call)

    [finding] = puppet.rights(context)

    assert asked == [("GET", "/puppet-ca/v1/certificate_status")]
    assert finding.state is expected
    assert ("auth.conf" in finding.remedy) == (status == 403)


@pytest.mark.parametrize(
    ("days", "expected"), [(100, [State.OK]), (10, [State.WARN]), (-1, [State.FAIL])]
)
def test_the_crl_runs_out(context: Any, tmp_path: Path, days: int, expected: list[State]) -> None:
    """A CRL past its next update stops every agent."""
    identity(tmp_path, "ca", days=100)
    bundle = (tmp_path / "ca.pem").read_bytes()
    context.ca = SimpleNamespace(crl=lambda: crl(days=days), bundle=lambda: bundle)

    assert states(puppet.crl(context)) == expected


def test_a_crl_of_another_ca_is_found(context: Any, tmp_path: Path) -> None:
    """With enable-infra-crl the served CRL may say nothing of nodes."""
    identity(tmp_path, "ca", days=100)
    bundle = (tmp_path / "ca.pem").read_bytes()
    foreign = crl(days=100, issuer=x509.Name([]))
    context.ca = SimpleNamespace(crl=lambda: foreign, bundle=lambda: bundle)

    [first, *_] = puppet.crl(context)

    assert first.state is State.FAIL
    assert "crl_file" in first.remedy


def test_the_version_of_the_ca_is_shown(context: Any) -> None:
    """Reachable means that it says its version."""
    context.ca = SimpleNamespace(version=lambda: "7.9.5")

    [finding] = puppet.reachable(context)

    assert finding.what == "https://puppet.example.com:8140 runs version 7.9.5"


def test_files_that_puppet_cannot_parse_are_shown(context: Any) -> None:
    """Their classes are missing, so nodes cannot get them."""
    catalogue = Catalogue("production", {"ntp": PuppetClass("ntp")}, {"/x.pp": "Syntax"}, "e")
    context.catalogue = SimpleNamespace(classes=lambda _, **__: catalogue)

    assert states(puppet.classes(context)) == [State.OK, State.WARN]


def test_groups_with_classes_that_puppet_lacks_are_shown(context: Any) -> None:
    """A node of such a group would get no catalog."""
    catalogue = Catalogue("production", {"ntp": PuppetClass("ntp")}, {}, "e")
    context.catalogue = SimpleNamespace(classes=lambda _: catalogue)
    groups = [Group("base", classes={"ntp": {}}), Group("web", classes={"apache": {}, "ntp": {}})]
    context.classifier = SimpleNamespace(groups=lambda: groups)

    [finding] = enc.group_classes(context)

    assert finding.subject == "group web"
    assert finding.what == "environment production has no class apache"


def test_a_ledger_without_schema_says_the_remedy(context: Context) -> None:
    """The check passes on what the ledger says."""
    [finding] = check.look(context, [("ledger", state.ledger, "")])

    assert finding.state is State.FAIL


def test_unfinished_nodes_are_counted(context: Context) -> None:
    """What is being added or deleted may be something that was left."""
    upgrade(context.config.ledger_url)
    assert states(state.ledger(context)) == [State.OK]
    with open_ledger(context.config.ledger_url) as ledger:
        ledger.reserve(Certname("a.example.com"), "cloud", Classification(), request_id="1")

    found = list(state.ledger(context))

    assert found[0].what == "can be written; nodes: 1 adding"
    assert found[1].what == "1 node is being added or deleted"


def listening(sample: Sample) -> socket.socket:
    """Return a socket that listens on the loopback, with the configuration naming its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    sample.set("server", host="127.0.0.1", port=str(listener.getsockname()[1]))
    return listener


def test_no_daemon_is_no_fault(sample: Sample) -> None:
    """Before the first start nobody listens."""
    listening(sample).close()

    [finding] = state.daemon(Context(config.load(sample.write())))

    assert (finding.state, finding.what[:12]) == (State.OK, "does not run")


@pytest.mark.parametrize(("own_certificate", "expected"), [(True, State.OK), (False, State.WARN)])
def test_the_certificate_that_is_shown_is_compared(
    sample: Sample, *, own_certificate: bool, expected: State
) -> None:
    """After a change of the certificate the daemon has to be reloaded."""
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if own_certificate:
        shown.load_cert_chain(sample.directory / "server.pem", sample.server_key)
    else:
        trustme.CA().issue_cert("other.example.com").configure_cert(shown)

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, shown.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(1)

    with listening(sample) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        [finding] = state.daemon(Context(config.load(sample.write())))
        thread.join(10)

    assert finding.state is expected


def test_the_directory_must_be_readable_for_puppet(context: Context, tmp_path: Path) -> None:
    """Setgid and readable for the group, else Puppet Server refuses every catalog."""
    (tmp_path / "enc").chmod(0o2750)
    assert states(enc.readers(context)) == [State.OK]

    (tmp_path / "enc").chmod(0o700)

    [finding] = enc.readers(context)
    assert finding.state is State.FAIL
    assert finding.remedy == f"do: chmod 2750 {tmp_path}/enc"


@pytest.fixture
def puppet_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that a make-believe ``puppet config print`` prints."""
    programs, confdir = tmp_path / "bin", tmp_path / "puppet"
    programs.mkdir()
    confdir.mkdir()
    (confdir / "puppet.conf").touch()
    printed = tmp_path / "printed"
    (programs / "puppet").write_text(f"#!/bin/sh\ncat {printed}\n")
    (programs / "espm_enc").write_text("#!/bin/sh\necho '{}'\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setattr("espm.check.puppet_conf._PATH", str(programs))
    monkeypatch.setattr("espm.check.puppet_conf._CONFDIRS", (confdir,))
    return printed


@pytest.mark.parametrize(
    ("closed", "expected"),
    [((), State.OK), (("hostprivkey",), State.FAIL), (("hostcert",), State.FAIL)],
)
def test_a_command_line_program_must_be_able_to_read_its_key(
    sample: Sample,
    tmp_path: Path,
    puppet_conf: Path,
    monkeypatch: pytest.MonkeyPatch,
    closed: tuple[str, ...],
    expected: State,
) -> None:
    """Puppet's own settings say which; what is not there may be elsewhere for the command."""
    real = Path.open

    def opened(path: Path, mode: str = "r") -> Any:
        if path.name in closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, mode)

    (tmp_path / "hostprivkey").touch()
    puppet_conf.write_text("".join(f"{n} = {tmp_path}/{n}\n" for n in ("hostprivkey", "hostcert")))
    sample.set("ca", backend="puppetserver_ca")
    conf = str(tmp_path / "puppet" / "puppet.conf")
    sample.set("puppetserver_ca", program="/bin/sh", config=conf)
    context = Context(config.load(sample.write()))
    monkeypatch.setattr(Path, "open", opened)
    [finding] = puppet.rights(context)

    assert finding.state is expected
    assert all(f"cannot read {tmp_path}/{each}" in finding.what for each in closed)


def test_a_right_hook_up_is_tried_out(context: Context, tmp_path: Path, puppet_conf: Path) -> None:
    """espm_enc is asked for a name that nobody has."""
    command = f"{tmp_path}/bin/espm_enc -d {tmp_path}/enc"
    puppet_conf.write_text(f"node_terminus = exec\nexternal_nodes = {command}\n")

    found = list(enc.hook_up(context))

    assert [finding.what for finding in found] == [
        "Puppet Server asks espm_enc",
        "for other names, site.pp decides",
    ]


def test_an_espm_enc_that_fails_is_found(context: Any, tmp_path: Path, puppet_conf: Path) -> None:
    """Then no node at all gets a catalog."""
    program = tmp_path / "bin" / "espm_enc"
    program.write_text("#!/bin/sh\necho broken >&2; exit 1\n")
    puppet_conf.write_text(f"node_terminus = exec\nexternal_nodes = {program} -d {tmp_path}/enc\n")

    found = list(enc.hook_up(context))

    assert found[1].state is State.FAIL
    assert found[1].what == "it fails for names that are not espm's: broken"


def test_an_enc_that_espm_does_not_know_of_is_to_be_told(
    context: Context, tmp_path: Path, puppet_conf: Path
) -> None:
    """Or it would take names that this one classifies, and --apply has nothing to change."""
    command = f"/bin/espm_enc -d {tmp_path}/enc -f /etc/old -f --fast"
    puppet_conf.write_text(f"node_terminus = exec\nexternal_nodes = {command}\n")

    [finding] = enc.hook_up(context)

    assert finding.state is State.FAIL
    assert finding.remedy.startswith('set fallback = "/etc/old --fast" in [builtin]')


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("node_terminus = plain\nexternal_nodes = none\n", "no node_terminus = exec"),
        ("node_terminus = exec\nexternal_nodes = /etc/other\n", "another external_nodes"),
        ("node_terminus = exec\nexternal_nodes = /bin/espm_enc -d /other\n", "is not: "),
        ("node_terminus = exec\nexternal_nodes = none\n", "another external_nodes"),
    ],
)
def test_a_wrong_hook_up_is_found(
    context: Context, puppet_conf: Path, settings: str, said: str
) -> None:
    """Each way in which Puppet Server would not ask for our nodes."""
    puppet_conf.write_text(settings)

    [finding] = enc.hook_up(context)

    assert finding.state is State.FAIL
    assert said in finding.what
    assert f"{puppet_conf.parent}/puppet/puppet.conf" in finding.what


def test_up_to_puppet_5_the_section_is_called_master(
    sample: Sample, tmp_path: Path, puppet_conf: Path
) -> None:
    """The CA's backend tells which Puppet it is."""
    sample.set("ca", backend="puppet_cert")
    words = f"{tmp_path}/bin/espm_enc -d {tmp_path}/enc"
    puppet_conf.write_text(f"node_terminus = exec\nexternal_nodes = {words}\n")
    program = tmp_path / "bin/puppet"
    asked = 'case "$*" in *"--section master"*) ;; *) exit 1 ;; esac\n'
    program.write_text(program.read_text().replace("cat ", f"{asked}cat "))

    found = list(enc.hook_up(Context(config.load(sample.write()))))

    assert found[0].what == "Puppet Server asks espm_enc"


def test_a_host_without_puppet_is_no_fault(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Espm may run beside Puppet Server's host as far as this check knows."""
    monkeypatch.setattr("espm.check.puppet_conf._CONFDIRS", ())

    assert states(enc.hook_up(context)) == [State.OK]


def test_a_wrong_configuration_exits_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every fault is a line, as text and as JSON."""
    path = tmp_path / "none.ini"

    assert check.main(path) == 78
    assert "FAIL  config  " in capsys.readouterr().out
    assert check.main(path, as_json=True) == 78
    assert json.loads(capsys.readouterr().out)[0]["state"] == "FAIL"


@pytest.mark.parametrize(("worst", "code"), [(State.OK, 0), (State.WARN, 0), (State.FAIL, 1)])
def test_the_exit_code_tells_scripts(
    sample: Sample, monkeypatch: pytest.MonkeyPatch, worst: State, code: int
) -> None:
    """Warnings do not fail a script; what does not work does."""
    findings = [Finding("x", worst, "what", "remedy")]
    monkeypatch.setattr(check, "look", lambda _: iter(findings))

    assert check.main(sample.write()) == code


def test_a_whole_screen_without_a_puppet_server(
    sample: Sample, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is there, and still each line is there, with no traceback in it."""
    monkeypatch.setattr("espm.check.puppet_conf._CONFDIRS", ())
    sample.set("puppet", url="https://127.0.0.1:1", timeout="1")

    assert check.main(sample.write()) == 1

    shown = capsys.readouterr().out
    assert "Traceback" not in shown
    assert {"CA", "CRL", "ledger", "ENC"} <= {line[6:].split()[0] for line in shown.splitlines()}


def test_root_goes_on_as_the_owner_of_the_enc(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root would not find what espm cannot read, and would leave files behind as root's."""
    became: list[tuple[object, ...]] = []
    for name in ("initgroups", "setgid", "setuid"):
        monkeypatch.setattr(os, name, lambda *args, name=name: became.append((name, *args)))
    owner = SimpleNamespace(pw_uid=999, pw_gid=998, pw_name="puppet", pw_dir="/var/lib/puppet")
    monkeypatch.setattr("pwd.getpwuid", lambda _: owner)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("HOME", "/root")

    assert check.user.become_espm(context.config) == "puppet"

    assert os.environ["HOME"] == "/var/lib/puppet"
    assert became == [("initgroups", "puppet", 998), ("setgid", 998), ("setuid", 999)]


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_what_espm_cannot_read_is_found_by_root_as_well(sample: Sample, tmp_path: Path) -> None:
    """A file that only root can read is of no use to espm."""
    os.chown(tmp_path / "enc", 65534, 65534)
    path = sample.write()
    code = (
        "import sys, pathlib, espm.check as c; c.user._LIBRARY = (); "
        "sys.exit(c.main(pathlib.Path(sys.argv[1])))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 78
    assert "cannot be read: Permission denied" in done.stdout


def test_ports_are_made_of_the_configuration(context: Context) -> None:
    """The daemon gets adapters for every port, and the settings of the use cases."""
    upgrade(context.config.ledger_url)
    with open_ledger(context.config.ledger_url) as ledger:
        ports = compose.build_ports(context.config, ledger)

    assert ports.ledger is ledger
    assert ports.reserved == context.config.reserved
    assert (ports.key_type, ports.check_classes) == ("ec", True)


@pytest.mark.slow
def test_a_broken_groups_file_is_said_once(sample: Sample, tmp_path: Path) -> None:
    """Each fault is one line that says which file to correct; what needs the groups is skipped."""
    (tmp_path / "groups.yaml").write_text("groups:\n  - name: web\n    colour: red\n")

    found = list(check.look(Context(config.load(sample.write()))))
    faults = [finding for finding in found if "groups.yaml" in finding.what]

    assert {(f.subject, f.remedy) for f in faults} == {("ENC", f"correct {tmp_path}/groups.yaml")}
    assert len(faults) == len({finding.what for finding in faults})
    assert Finding("ENC groups", State.SKIP, "skipped, because of ENC") in found


def test_an_environment_that_is_not_there_has_its_own_remedy(context: Context) -> None:
    """It has nothing to do with auth.conf."""

    def lost(_: Context) -> Iterator[Finding]:
        msg = "environment 'x' does not exist on the Puppet server"
        raise EnvironmentUnknown(msg, [msg])

    [finding] = check.look(context, [("classes", lost, "see auth.conf")])

    assert finding.remedy == "deploy it, or correct [builtin] environment or the groups file"


def test_a_check_that_needs_a_failed_one_is_skipped(context: Context) -> None:
    """One cause is one FAIL; what hangs on it names the first that failed, and does not run."""

    def down(_: Context) -> Iterator[Finding]:
        yield Finding("CA", State.FAIL, "away")

    def never(_: Context) -> Iterator[Finding]:
        pytest.fail("it has run")

    rows = [("CA", down, ""), ("classes", never, ""), ("ENC groups", never, "")]

    assert list(check.look(context, rows))[1:] == [
        Finding("classes", State.SKIP, "skipped, because of CA"),
        Finding("ENC groups", State.SKIP, "skipped, because of CA"),
    ]


def test_another_compile_server_does_not_hang_on_the_ca(sample: Sample) -> None:
    """Where the CA is a server of its own, the classes are looked at without it."""
    sample.set("puppet", ca_url="https://ca.example.com:8140")

    def down(_: Context) -> Iterator[Finding]:
        yield Finding("CA", State.FAIL, "away")

    def fine(_: Context) -> Iterator[Finding]:
        yield Finding("classes", State.OK, "fine")

    rows = [("CA", down, ""), ("classes", fine, "")]
    found = check.look(Context(config.load(sample.write())), rows)

    assert states(found) == [State.FAIL, State.OK]


def test_every_need_is_a_check_before() -> None:
    """What a check needs has been looked at when its turn comes."""
    names = [name for name, _, _ in check.CHECKS]
    context = SimpleNamespace(config=SimpleNamespace(access=SimpleNamespace(url="", ca_url="")))

    assert all(
        names.index(need) < names.index(name)
        for name in names
        for need in check.needs(name, context)  # type: ignore[arg-type]
    )


def test_a_server_that_does_not_listen_is_one_fail(sample: Sample) -> None:
    """The line has the URL and the reason; the rest of Puppet's checks is skipped."""
    sample.set("puppet", url="https://127.0.0.1:1", timeout="1")
    context = Context(config.load(sample.write()))
    names = ("CA", "CA rights", "CRL", "classes", "ENC groups")

    first, *rest = check.look(context, [row for row in check.CHECKS if row[0] in names])

    assert first.what == "https://127.0.0.1:1: Connection refused"
    assert first.remedy == "see that Puppet Server runs there, and that [puppet] ca_url is right"
    assert [finding.state for finding in rest] == [State.SKIP] * 4


def caused(cause: BaseException) -> BackendUnavailable:
    """Return an error of ours with the causes that the libraries below give it."""
    middle = OSError(cause)
    middle.__cause__ = cause
    error = BackendUnavailable("away")
    error.__cause__ = middle
    return error


def tls_error(kind: type[ssl.SSLError], reason: str, text: str) -> ssl.SSLError:
    """Return an error as Python's TLS raises it."""
    error = kind(1, f"[SSL: {reason}] {text} (_ssl.c:1)")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("cause", "what", "remedy"),
    [
        (
            tls_error(ssl.SSLError, "TLSV1_ALERT_UNKNOWN_CA", "tlsv1 alert unknown ca"),
            "it does not accept espm's client certificate (tlsv1 alert unknown ca)",
            "[puppet] certificate",
        ),
        (
            tls_error(
                ssl.SSLCertVerificationError,
                "CERTIFICATE_VERIFY_FAILED",
                "certificate verify failed: self-signed certificate",
            ),
            "its certificate is not accepted (certificate verify failed: self-signed certificate)",
            "[puppet] ca_file",
        ),
        (
            tls_error(ssl.SSLError, "KEY_VALUES_MISMATCH", "key values mismatch"),
            "no TLS (key values mismatch)",
            "[puppet] certificate",
        ),
        (TimeoutError("timed out"), "no answer in time", "[puppet] ca_url"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service", "[puppet] ca_url"),
    ],
)
def test_the_reason_for_no_connection_is_said(
    context: Any, cause: Exception, what: str, remedy: str
) -> None:
    """The screen is the administrator's: it names the cause, which callers never see."""

    def version() -> str:
        raise caused(cause)

    context.ca = SimpleNamespace(version=version)

    [finding] = puppet.reachable(context)

    assert finding.state is State.FAIL
    assert finding.what.startswith(f"https://puppet.example.com:8140: {what}")
    assert remedy in finding.remedy


def test_an_answer_that_fails_is_said_with_its_url(context: Any) -> None:
    """What the server answered is the reason when it could be reached."""

    def version() -> str:
        msg = "Puppet's server failed with status 503"
        raise BackendUnavailable(msg)

    context.ca = SimpleNamespace(version=version)

    [finding] = puppet.reachable(context)

    assert finding.what == f"{context.config.access.ca_url}: Puppet's server failed with status 503"
    assert "espm's log" not in finding.remedy


def test_crls_are_told_apart(context: Any, tmp_path: Path) -> None:
    """The root's CRL and the intermediate's are lines with their names."""
    root, middle = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("Root", "Middle")
    )
    bundle = authority(root, root) + authority(middle, root)
    lists = crl(days=100, issuer=middle) + crl(days=100, issuer=root)
    context.ca = SimpleNamespace(crl=lambda: lists, bundle=lambda: bundle)

    said = [finding.what.partition(" is good")[0] for finding in puppet.crl(context)]
    assert [re.sub(r"\d{3} bytes", "N bytes", line) for line in said] == [
        "of the intermediate CA Middle: 0 revocations in N bytes; it",
        "of the root CA Root: 0 revocations in N bytes; it",
    ]


def authority(subject: x509.Name, issuer: x509.Name) -> bytes:
    """Return the certificate of a CA (PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    builder = builder.serial_number(1).public_key(key.public_key())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_many_files_that_cannot_be_parsed_are_one_line(context: Any) -> None:
    """The first three are named, the others counted."""
    broken = {f"m/{letter}.pp": "Syntax error " * 20 for letter in "abcde"}
    context.catalogue = SimpleNamespace(classes=lambda _, **__: Catalogue("p", {}, broken, "e"))

    [_, finding] = puppet.classes(context)

    assert finding.what == "5 files that Puppet cannot parse: m/a.pp, m/b.pp, m/c.pp and 2 more"
    assert "puppet parser validate" in finding.remedy


@pytest.mark.parametrize(("count", "said"), [(0, "0 groups"), (1, "1 group"), (2, "2 groups")])
def test_one_group_is_no_plural(context: Any, count: int, said: str) -> None:
    """Numbers and their nouns agree."""
    groups = [Group(f"g{number}") for number in range(count)]
    context.classifier = SimpleNamespace(ping=lambda: None, groups=lambda: groups)

    [finding] = enc.directory(context)

    assert finding.what == f"can be written; {said}"


def test_espms_certificate_that_is_not_signed_yet_is_to_be_fetched(
    sample: Sample, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is wrong with the configuration then."""
    sample.set("puppet", certificate=str(tmp_path / "missing.pem"))

    assert check.main(sample.write()) == 78
    assert "run espm_setup --fetch-certificate" in capsys.readouterr().out


def test_groups_that_do_not_fit_the_nodes_are_a_fault(sample: Sample, tmp_path: Path) -> None:
    """As at the start, which they would stop, and at a reload."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    upgrade(url)
    with open_ledger(url) as ledger:
        for name in ("web1.example.com", "web2.example.com"):
            classified = Classification(groups=("web",))
            _, intent = ledger.reserve(Certname(name), "cloud", classified, request_id="r")
            ledger.activate(intent)
    (tmp_path / "enc/.espm-enc").touch()

    [finding] = enc.directory(Context(config.load(sample.write())))

    assert finding.state is State.FAIL
    assert finding.what == "node web1.example.com: group 'web' does not exist, and 1 more"


def test_the_readers_are_named(context: Context, tmp_path: Path) -> None:
    """Which group reads, and who must be in it."""
    (tmp_path / "enc").chmod(0o2750)
    group = (tmp_path / "enc").group()

    [finding] = enc.readers(context)

    assert finding.what == f"readable by group {group}; Puppet Server's user must be in it"


def test_a_remedy_is_shown_once_for_the_lines_that_share_it() -> None:
    """Ten faults of one file have one remedy below the last of them."""
    found = [Finding("ENC", State.FAIL, what, "correct it") for what in ("one", "two")]

    assert check.as_screen(found) == "FAIL  ENC  one\nFAIL  ENC  two\n           -> correct it"


def test_a_python_that_espm_cannot_read_is_one_finding(
    sample: Sample,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without its library nothing works, and the errors of imports would tell nobody why."""
    hidden = tmp_path / "lib" / "os.py"
    monkeypatch.setattr(check.user, "_LIBRARY", (hidden,))
    monkeypatch.setattr(check.user, "become_espm", lambda _: "puppet")

    assert check.main(sample.write(), as_json=True) == 1

    [finding] = json.loads(capsys.readouterr().out)
    assert (finding["subject"], finding["state"]) == ("daemon", "FAIL")
    assert finding["what"].startswith("espm's user puppet cannot read the Python installation at ")
    assert str(hidden) in finding["what"]


def test_only_what_the_backends_name_is_looked_at(sample: Sample) -> None:
    """Lines about an old Puppet are not on the screen of today's, and all of today's are."""
    shown = [row[0] for row in check.rows(config.load(sample.write()))]
    old = {"old tools", "puppet cert", "CA files", "after revoke"}
    dashboards = {"dashboard", "external_node", "withheld class"}

    assert shown == [row[0] for row in check.CHECKS if row[0] not in old | dashboards]


@pytest.mark.parametrize(("port", "name"), list(configspec.backend_names()))
def test_every_backend_names_lines_that_there_are(port: str, name: str) -> None:
    """And at least one; each line belongs to a backend or is always there."""
    named = set(configspec.backend(port, name).CHECKS)
    known = {row[0] for row in check.CHECKS}

    assert named
    assert named <= known - check.ALWAYS


def test_root_goes_on_as_the_owner_of_the_ledger_without_an_enc_of_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The dashboard has no directory that could say who runs espm."""
    became: list[object] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in ("initgroups", "setgid", "setuid"):
        monkeypatch.setattr(os, name, lambda *args: became.append(args))
    (tmp_path / "var").mkdir()
    monkeypatch.setenv("HOME", "/root")
    owner = SimpleNamespace(pw_uid=4711, pw_gid=4712, pw_name="door", pw_dir="/opt/espm")
    monkeypatch.setattr(pwd, "getpwuid", lambda _: owner)
    loaded = SimpleNamespace(
        ledger_url=f"sqlite:///{tmp_path}/var/ledger.db", classifier_options={}
    )

    assert check.user.become_espm(loaded) == "door"  # type: ignore[arg-type]
    assert became == [("door", 4712), (4712,), (4711,)]
