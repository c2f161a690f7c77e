"""The way to an old Puppet's CA, on a host whose answers are made up."""

from __future__ import annotations

import logging
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from espm import x509
from espm.ca import http_api, puppet_cert, puppetserver_ca
from espm.ca.after import After
from espm.ca.puppet_cert import NativeCert, PuppetCert
from espm.errors import (
    BackendRefused,
    BackendSilent,
    BackendUnavailable,
    CertificateUnknown,
    CertnameTaken,
    ConfigError,
    CsrPending,
    CsrUnknown,
    InvalidCertname,
)
from espm.failfast import FailFast
from espm.model import Certname, PuppetAccess
from espm.model.output import Output
from espm.ports import Generating
from tests.api.wire import wait_until
from tests.fakes import FakeCa
from tests.tools_tree import host_options

if TYPE_CHECKING:
    from pathlib import Path

WEB = Certname("web1.example.com")
NOBODY = PuppetAccess("", "", "", "", "")
TODAY = PuppetAccess("https://p.example.com:8140", "https://p.example.com:8140", "", "", "")

NOTHING = Output(66, b"", b"espm_tools: there is no such file at the CA\n")


class Scripted:
    """A host that answers each verb with what a test has said.

    :ivar answers: by verb, what it answers or raises.
    :ivar there: the names that it has a certificate of; None for all.
    """

    def __init__(self, **answers: Output | Exception) -> None:
        self.answers: dict[str, Output | Exception] = dict(answers)
        self.calls: list[tuple[str, ...]] = []
        self.there: set[str] | None = None

    def call(
        self, verb: str, *arguments: str, stdin: bytes | None = None, timeout: float
    ) -> Output:
        """Answer."""
        self.calls.append((verb, *arguments))
        answer = self.answers.get(verb, Output(0, b"", b""))
        if verb == "certificate" and self.there is not None and arguments[0] not in self.there:
            return NOTHING
        if isinstance(answer, Exception):
            raise answer
        return answer


def connected(**answers: Output | Exception) -> tuple[PuppetCert, Scripted]:
    """Return a CA on a host with these answers."""
    host = Scripted(**answers)
    return PuppetCert(host, 60), host


@pytest.mark.parametrize(
    ("said", "version"),
    [
        (b"espm_tools 1\n2.7.12 (Puppet Enterprise 2.5.0)\n", "2.7.12"),
        (b"espm_tools 1\n5.5.22\n", "5.5.22"),
    ],
)
def test_the_version_is_that_of_puppet(said: bytes, version: str) -> None:
    """It is asked for once in some minutes, while files and programs are looked at each time."""
    ca, host = connected(version=Output(0, said, b""))

    assert [ca.version(), ca.version()] == [version, version]
    assert host.calls == [("ping", "ca"), ("version",), ("ping", "ca")]


def test_a_puppet_without_version_is_refused() -> None:
    """Something else has that name."""
    ca, _ = connected(version=Output(0, b"espm_tools 1\n", b""))
    with pytest.raises(BackendRefused):
        ca.version()


@pytest.mark.parametrize(
    ("version", "may"),
    [(b"2.7.12", False), (b"2.7.18", False), (b"2.7.19", True), (b"5.5.22", True)],
)
def test_cleaning_many_names_depends_on_the_version(version: bytes, *, may: bool) -> None:
    """Before 2.7.19 it removes what it has not revoked."""
    ca, _ = connected(version=Output(0, version, b""))

    assert ca.can_clean() is may


def test_a_name_that_puppet_cannot_be_told_is_the_callers_fault() -> None:
    """Puppet Server takes an underscore at the beginning."""
    ca, host = connected()
    with pytest.raises(InvalidCertname):
        ca.certificate(Certname("_web.example.com"))

    assert host.calls == []


def test_a_certificate_of_another_name_is_refused() -> None:
    """A file of the CA can hold anything."""
    other = Certname("other.example.com")
    fake = FakeCa()
    fake.submit(other, x509.new_csr(other, x509.new_key()))
    ca, _ = connected(certificate=Output(0, fake.sign(other).pem, b""))
    with pytest.raises(BackendRefused):
        ca.certificate(WEB)


@pytest.mark.parametrize(
    ("status", "kind"), [(73, CsrPending), (74, CertnameTaken), (64, BackendRefused)]
)
def test_what_stops_a_csr_is_told_apart(status: int, kind: type[Exception]) -> None:
    """By the helper's exit code."""
    ca, _ = connected(submit=Output(status, b"", b""))
    with pytest.raises(kind):
        ca.submit(WEB, x509.new_csr(WEB, x509.new_key()))


@pytest.mark.parametrize("verb", ["crl", "bundle"])
def test_a_ca_without_its_own_files_is_unavailable(verb: str) -> None:
    """That is no answer about a node's certificate."""
    ca, _ = connected(**{verb: NOTHING})
    with pytest.raises(BackendUnavailable) as caught:
        getattr(ca, verb)()

    assert not isinstance(caught.value, CertificateUnknown)


def test_a_ca_that_is_silent_stops_every_call() -> None:
    """Nothing is looked up that would be silent, too."""
    ca, host = connected(sign=BackendSilent("late"), request=Output(0, b"csr", b""))
    with pytest.raises(BackendSilent):
        ca.sign(WEB)

    assert host.calls == [("request", WEB), ("sign", WEB)]


def test_signing_without_a_csr_starts_nothing() -> None:
    """Ruby would take half a second to say so."""
    ca, host = connected(request=NOTHING, certificate=NOTHING)
    with pytest.raises(CsrUnknown):
        ca.sign(WEB)

    assert "sign" not in {verb for verb, *_ in host.calls}


def test_revoking_nothing_starts_nothing() -> None:
    """Nor is the master told of a CRL that is the same."""
    ca, host = connected(certificate=NOTHING)
    ca.revoke([])
    ca.revoke([WEB])
    ca.clean_all([])

    assert {verb for verb, *_ in host.calls} == {"certificate"}


def certified() -> Output:
    """Return what the helper shows of a new certificate of WEB's."""
    fake = FakeCa()
    fake.submit(WEB, x509.new_csr(WEB, x509.new_key()))
    return Output(0, fake.sign(WEB).pem, b"")


def test_what_is_ended_is_what_was_looked_at_last() -> None:
    """Whatever is there by now; the helper compares."""
    ca, host = connected(certificate=certified())
    looked_at = f"{WEB}:{sha256(ca.certificate(WEB) or b'').hexdigest()}"
    host.answers["certificate"] = certified()
    ca.revoke([WEB])
    host.answers["revoke"] = Output(65, b"", b"espm_tools: another certificate\n")
    for _ in range(2):
        with pytest.raises(BackendUnavailable, match="another certificate"):
            ca.revoke([WEB])
    ended = [call for call in host.calls if call[0] == "revoke"]

    assert ended == [("revoke", looked_at)] * 3


def test_a_name_that_is_gone_does_not_stop_the_others() -> None:
    """They are ordered again without it, and as they were looked at before."""
    other = Certname("web2.example.com")
    ca, host = connected(certificate=certified(), revoke=NOTHING)
    looked_at = f"{WEB}:{sha256(ca.certificate(WEB) or b'').hexdigest()}"
    ca._looks._seen[other] = "0" * 64
    host.there = {WEB}
    host.answers["certificate"] = certified()
    with pytest.raises(CertificateUnknown):
        ca.revoke([WEB, other])
    ended = [call[1:] for call in host.calls if call[0] == "revoke"]

    assert ended == [(looked_at, f"{other}:{'0' * 64}"), (looked_at,)]


def test_a_revocation_that_failed_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """2.7.12 does so with success as its exit code."""
    said = Output(0, b"err: Could not call revoke: PEM_read_bio_X509_CRL: no start line\n", b"")
    ca, _ = connected(revoke=said, certificate=certified())
    with pytest.raises(BackendUnavailable):
        ca.revoke([WEB])


def test_nothing_is_kept_of_a_name_that_was_cleaned() -> None:
    """Names come and go for years; whoever has the name next is looked at anew."""
    ca, host = connected(certificate=certified())
    other = Certname("web2.example.com")
    ca._looks._seen[other] = "0" * 64
    ca.certificate(WEB)
    host.there = set()
    ca.clean(WEB)
    ca.clean_all([other])

    assert ca._looks._seen == {}


def test_a_certificate_that_clean_leaves_is_said() -> None:
    """Its name is not free."""
    said = Output(24, b"", b"Error: Permission denied\n")
    ca, _ = connected(certificate=certified(), clean=said)
    with pytest.raises(BackendRefused):
        ca.clean(WEB)
    with pytest.raises(BackendRefused):
        ca.clean_all([WEB])


def test_healing_that_failed_is_said() -> None:
    """The helper refuses what is not of this CA."""
    fake = FakeCa()
    fake.submit(WEB, x509.new_csr(WEB, x509.new_key()))
    issued = x509.parse_certificate(fake.sign(WEB).pem)
    ca, _ = connected(heal=Output(64, b"", b"espm_tools: not a certificate of this CA\n"))
    with pytest.raises(BackendRefused):
        ca.heal(WEB, issued)


def test_only_a_ca_that_is_told_keys_generates() -> None:
    """Also behind what stops asking a silent one."""
    host = Scripted()
    native = NativeCert(host, 60)

    assert isinstance(native, Generating)
    assert isinstance(FailFast(native), Generating)
    assert not isinstance(PuppetCert(host, 60), Generating)
    assert not isinstance(FailFast(FakeCa()), Generating)


def test_only_this_ca_has_agents_that_sign_with_md5() -> None:
    """Those of today's CAs do not, whichever way they are reached."""
    old = PuppetCert(Scripted(), 60)
    options = {"program": "/none", "config": "", "command_timeout": 60.0}
    today = [http_api.connect({}, TODAY), puppetserver_ca.connect(options, TODAY)]

    assert old.old_digests == FailFast(old).old_digests == {"md5", "sha1"}
    assert [ca.old_digests for ca in today] == [frozenset(), frozenset()]


def test_generate_needs_keys_that_it_knows(tmp_path: Path) -> None:
    """It makes RSA keys only."""
    options = host_options(tmp_path) | {"native_generate": True}
    with pytest.raises(ConfigError, match="native_generate"):
        puppet_cert.connect(options | {"key_type": "ec"}, NOBODY)

    assert isinstance(puppet_cert.connect(options | {"key_type": "auto"}, NOBODY), NativeCert)


def test_a_master_that_was_not_told_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """With what the command said, or why it could not be run; the next one is run all the same."""
    host = Scripted(after=Output(3, b"httpd is ill\n", b""))
    after = After(host, 60)
    with caplog.at_level(logging.WARNING):
        after.want()
        assert wait_until(lambda: "httpd is ill" in caplog.text, 10)
        host.answers["after"] = BackendUnavailable("the host is away")
        assert wait_until(lambda: not after._running, 10)
        after.want()
        assert wait_until(lambda: "the host is away" in caplog.text, 10)
