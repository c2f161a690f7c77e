"""What the CA's adapters make of answers that a healthy Puppet Server does not give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from espm import x509
from espm.ca import agent_http, http_api, puppetserver_ca
from espm.ca.agent_http import API
from espm.errors import (
    BackendRefused,
    BackendUnavailable,
    CertnameTaken,
    ConfigError,
    CsrPending,
    CsrUnknown,
)
from espm.model import Certname, PuppetAccess
from espm.puppet_http import Reply
from tests.fakes import FakeCa

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

NAME = Certname("web1.example.com")
ACCESS = PuppetAccess("https://localhost:1", "https://localhost:1", "", "", "")
CERTIFICATE, REQUEST, STATUS = (
    f"{API}/{kind}/{NAME}" for kind in ("certificate", "certificate_request", "certificate_status")
)
NO_CERTIFICATE = (404, f"Could not find certificate {NAME}".encode())
NO_REQUEST = (404, f"Could not find certificate_request {NAME}".encode())


def certificate(name: Certname = NAME) -> bytes:
    """Return a certificate for *name*."""
    ca = FakeCa()
    ca.submit(name, x509.new_csr(name, x509.new_key()))
    return ca.sign(name).pem


class Stub:
    """A server that gives fixed answers; several for one call are given one after the other."""

    def __init__(self, **_: Any) -> None:
        self.answers: dict[tuple[str, str], list[tuple[int, bytes]]] = {}
        self.calls: list[tuple[str, str]] = []

    def on(self, method: str, path: str, *answers: tuple[int, bytes]) -> Stub:
        """Set the answers to a call."""
        self.answers[method, path] = list(answers)
        return self

    def call(self, method: str, path: str, *, accept: Collection[int], **_: Any) -> Reply:
        """Answer as :meth:`espm.puppet_http.PuppetHttp.call` does."""
        self.calls.append((method, path))
        answers = self.answers[method, path]
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        assert status in accept
        return Reply(status, body)


@pytest.fixture
def stub() -> Stub:
    """Return a server without answers."""
    return Stub()


@pytest.fixture
def ca(stub: Stub) -> http_api.HttpApi:
    """Return the HTTP adapter on the stub."""
    return http_api.HttpApi(stub)  # type: ignore[arg-type]


@pytest.fixture
def cli(stub: Stub, tmp_path: Path) -> Callable[..., puppetserver_ca.PuppetserverCa]:
    """Return a function that gives the CLI adapter with a script in the command's place."""

    def make(script: str, command_timeout: float = 10) -> puppetserver_ca.PuppetserverCa:
        program = tmp_path / "puppetserver"
        program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n{script}\n')
        program.chmod(0o700)
        options = {
            "program": str(program),
            "config": "/etc/puppet.conf",
            "command_timeout": command_timeout,
        }
        return puppetserver_ca.PuppetserverCa(stub, None, options)  # type: ignore[arg-type]

    return make


def test_a_404_that_is_not_the_cas_is_not_believed(stub: Stub, ca: http_api.HttpApi) -> None:
    """A compile server without a CA knows no certificate; its word frees no name."""
    stub.on("GET", CERTIFICATE, (404, b"Not Found"))

    with pytest.raises(BackendRefused, match="ca_url"):
        ca.certificate(NAME)


def test_the_certificate_of_another_name_is_refused(stub: Stub, ca: http_api.HttpApi) -> None:
    """Whatever went wrong there, it is not this node's."""
    stub.on("GET", CERTIFICATE, (200, certificate(Certname("web2.example.com"))))

    with pytest.raises(BackendRefused, match="another name"):
        ca.certificate(NAME)


def test_what_is_not_a_certificate_is_refused(stub: Stub, ca: http_api.HttpApi) -> None:
    """A page for people is not PEM."""
    stub.on("GET", CERTIFICATE, (200, b"<html>"))

    with pytest.raises(BackendRefused, match="not a certificate"):
        ca.certificate(NAME)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (f"{NAME} already has a requested certificate; ignoring certificate request", CsrPending),
        (f"{NAME} already has a signed certificate; ignoring certificate request", CertnameTaken),
        (f"{NAME} already has a revoked certificate; ignoring certificate request", CertnameTaken),
        ("Certificate names must be lower case.", BackendRefused),
    ],
)
def test_a_refused_csr_says_what_is_in_its_way(
    stub: Stub, ca: http_api.HttpApi, text: str, error: type[Exception]
) -> None:
    """Puppet Server says all of it by 400; its words are in the cause."""
    stub.on("PUT", REQUEST, (400, text.encode()))

    with pytest.raises(error) as caught:
        ca.submit(NAME, b"csr")
    assert type(caught.value) is error
    assert text in str(caught.value.__cause__)


def test_a_csr_that_the_ca_does_not_sign_is_refused(stub: Stub, ca: http_api.HttpApi) -> None:
    """409 is also what a CSR with names that are not allowed gets; it waits on."""
    stub.on("PUT", STATUS, (409, b"CSR contains extra subject alternative names"))
    stub.on("GET", CERTIFICATE, NO_CERTIFICATE).on("GET", REQUEST, (200, b"csr"))

    with pytest.raises(BackendRefused, match="does not sign"):
        ca.sign(NAME)


def test_a_signature_without_a_certificate_is_unavailable(stub: Stub, ca: http_api.HttpApi) -> None:
    """Somebody else cleaned it, or the server is in trouble: nothing to hand out."""
    stub.on("PUT", STATUS, (204, b"")).on("GET", CERTIFICATE, NO_CERTIFICATE)

    with pytest.raises(BackendUnavailable):
        ca.sign(NAME)


def test_revoking_what_is_not_there_is_not_even_asked(stub: Stub, ca: http_api.HttpApi) -> None:
    """Puppet Server 8.2.2 and later fail with 500 when only the inventory knows the name."""
    stub.on("GET", CERTIFICATE, NO_CERTIFICATE)
    ca.revoke([NAME])

    assert stub.calls == [("GET", CERTIFICATE)]


@pytest.mark.parametrize("adapter", ["http", "cli"])
def test_a_csr_that_was_signed_meanwhile_is_not_withdrawn(
    stub: Stub,
    ca: http_api.HttpApi,
    cli: Callable[..., puppetserver_ca.PuppetserverCa],
    adapter: str,
) -> None:
    """The call removes the certificate as well, which would stay valid and be out of reach."""
    stub.on("GET", CERTIFICATE, (200, certificate()))

    with pytest.raises(CertnameTaken, match="meanwhile"):
        (ca if adapter == "http" else cli("exit 0")).withdraw(NAME)
    assert stub.calls == [("GET", CERTIFICATE)]


@pytest.mark.parametrize("body", [b"[]", b'{"service_version": 7}', b"{}"])
def test_a_server_without_a_version_is_refused(
    stub: Stub, ca: http_api.HttpApi, body: bytes
) -> None:
    """It is not Puppet Server."""
    stub.on("GET", "/status/v1/services/ca", (200, body))

    with pytest.raises(BackendRefused, match="version"):
        ca.version()


def test_what_is_not_a_crl_or_a_bundle_is_refused(stub: Stub, ca: http_api.HttpApi) -> None:
    """Neither is handed to anybody."""
    stub.on("GET", f"{API}/certificate_revocation_list/ca", (200, b"x"))
    stub.on("GET", f"{API}/certificate/ca", (200, b"x"))

    with pytest.raises(BackendRefused, match="CRL"):
        ca.crl()
    with pytest.raises(BackendRefused, match="no certificates"):
        ca.bundle()


def test_the_commands_exit_code_is_not_believed(
    stub: Stub, cli: Callable[..., puppetserver_ca.PuppetserverCa], tmp_path: Path
) -> None:
    """Cleaning a CSR ends with 24 though it is gone; what counts is what the CA holds."""
    stub.on("GET", CERTIFICATE, NO_CERTIFICATE).on("GET", REQUEST, (200, b"csr"), NO_REQUEST)
    cli("exit 24").clean(NAME)

    expected = f"ca clean --certname={NAME} --config /etc/puppet.conf\n"
    assert (tmp_path / "calls").read_text() == expected


def test_a_command_that_says_yes_and_does_nothing_is_unavailable(
    stub: Stub, cli: Callable[..., puppetserver_ca.PuppetserverCa]
) -> None:
    """Success is what the CA shows."""
    stub.on("GET", CERTIFICATE, NO_CERTIFICATE).on("GET", REQUEST, (200, b"csr"))

    with pytest.raises(BackendUnavailable):
        cli("exit 0").sign(NAME)
    with pytest.raises(BackendUnavailable):
        cli("exit 0").clean(NAME)


def test_what_a_failed_command_wrote_is_for_the_log(
    stub: Stub, cli: Callable[..., puppetserver_ca.PuppetserverCa]
) -> None:
    """Its paths and hosts do not reach the caller."""
    stub.on("GET", CERTIFICATE, NO_CERTIFICATE).on("GET", REQUEST, (200, b"csr"))

    with pytest.raises(BackendRefused) as caught:
        cli("echo /secret/path >&2; exit 1").sign(NAME)
    assert "/secret/path" not in str(caught.value)
    assert "/secret/path" in str(caught.value.__cause__)


def test_a_late_command_may_have_had_its_effect(
    stub: Stub, cli: Callable[..., puppetserver_ca.PuppetserverCa]
) -> None:
    """A certificate that is there was signed, whatever became of the command."""
    pem = certificate()
    stub.on("GET", CERTIFICATE, (200, pem))

    assert cli("sleep 60", command_timeout=0.2).sign(NAME).pem == pem


def test_a_late_command_without_effect_is_unavailable(
    stub: Stub, cli: Callable[..., puppetserver_ca.PuppetserverCa]
) -> None:
    """It can be tried again."""
    stub.on("GET", CERTIFICATE, NO_CERTIFICATE).on("GET", REQUEST, (200, b"csr"))

    with pytest.raises(BackendUnavailable, match="in time"):
        cli("sleep 60", command_timeout=0.2).sign(NAME)


def test_a_command_without_a_csr_to_sign_says_so(
    stub: Stub, cli: Callable[..., puppetserver_ca.PuppetserverCa]
) -> None:
    """The command's own words change between versions; the CA is asked instead."""
    stub.on("GET", CERTIFICATE, NO_CERTIFICATE).on("GET", REQUEST, NO_REQUEST)

    with pytest.raises(CsrUnknown):
        cli("exit 1").sign(NAME)


@pytest.mark.parametrize("revoked", [True, False])
def test_a_failed_revocation_is_forgiven_only_when_the_crl_shows_it(
    stub: Stub, cli: Callable[..., puppetserver_ca.PuppetserverCa], *, revoked: bool
) -> None:
    """The CRL decides."""
    fake = FakeCa()
    fake.submit(NAME, x509.new_csr(NAME, x509.new_key()))
    stub.on("GET", CERTIFICATE, (200, fake.sign(NAME).pem))
    if revoked:
        fake.revoke([NAME])
    stub.on("GET", f"{API}/certificate_revocation_list/ca", (200, fake.crl()))
    outcome = "fine"
    try:
        cli("exit 1").revoke([NAME])
    except BackendRefused:
        outcome = "refused"

    assert outcome == ("fine" if revoked else "refused")


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("certificate-authority: {\n  enable-infra-crl: true\n}", True),
        ('certificate-authority: {"enable-infra-crl" = "true"}', True),
        ("certificate-authority.enable-infra-crl=true", True),
        ("certificate-authority: {\n  enable-infra-crl: false\n}", False),
        ("certificate-authority: {\n  # enable-infra-crl: true\n}", False),
        ("certificate-authority: {\n  // enable-infra-crl: true\n}", False),
        ("certificate-authority: {}", False),
    ],
)
@pytest.mark.parametrize("backend", [http_api, puppetserver_ca])
def test_a_ca_that_serves_the_infrastructure_crl_needs_the_file(
    tmp_path: Path, backend: Any, text: str, *, refused: bool
) -> None:
    """That CRL shows no node, and no revocation could ever be proved."""
    ca_conf = tmp_path / "ca.conf"
    ca_conf.write_text(text)
    options = {"ca_conf": str(ca_conf), "crl_file": "", "program": "/x", "config": "/x"}
    options["command_timeout"] = "1"
    faults = []
    try:
        backend.connect(options, ACCESS)
    except ConfigError as error:
        faults = list(error.faults)

    assert [fault.split(":")[0] for fault in faults] == ["[ca] crl_file"] * refused


def test_the_crl_file_replaces_what_the_ca_serves(tmp_path: Path) -> None:
    """With it the infrastructure CRL is no obstacle, and the CA is not asked."""
    (tmp_path / "ca.conf").write_text("enable-infra-crl: true")
    crl = FakeCa().crl()
    (tmp_path / "ca_crl.pem").write_bytes(crl)
    options = {"ca_conf": str(tmp_path / "ca.conf"), "crl_file": str(tmp_path / "ca_crl.pem")}
    ca = http_api.connect(options, ACCESS)

    assert ca.crl() == crl
    (tmp_path / "ca_crl.pem").unlink()
    with pytest.raises(BackendUnavailable, match="crl_file"):
        ca.crl()


def test_a_ca_conf_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    """Otherwise the check it is there for would be skipped in silence."""
    with pytest.raises(ConfigError, match="ca_conf"):
        agent_http.http_and_crl({"ca_conf": str(tmp_path / "none")}, ACCESS)
