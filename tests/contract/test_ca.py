"""What every way to reach Puppet's CA must do, and the double of it."""

from __future__ import annotations

import os
import threading
import time
from itertools import count
from typing import TYPE_CHECKING

import pytest
from cryptography.x509 import load_pem_x509_certificate

from espm import x509
from espm.ca import http_api, puppetserver_ca
from espm.ca.agent_http import API
from espm.ca.puppet_cert import PuppetCert
from espm.errors import CertnameTaken, CsrPending, CsrUnknown
from espm.model import Certname
from tests.crls import is_revoked
from tests.fakes import FakeCa
from tests.legacy.old_ca import OldCa, certificate_file, old_ca

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from espm.model import PuppetAccess
    from espm.ports import CertificateAuthority
    from tests.live.lab import Lab

#: Versions of old Puppet: what they print and how they fail changed from one to the next.
OLD = [f"puppet_cert-{version}" for version in ("2.7.12", "2.7.19", "3.8.7", "5.5.22")]

_OLD = [pytest.param(name, marks=pytest.mark.slow) for name in OLD]

BACKENDS = [
    "fake",
    *_OLD,
    pytest.param("http_api", marks=pytest.mark.live),
    pytest.param("http_api-directories", marks=pytest.mark.live),
    pytest.param("puppetserver_ca", marks=pytest.mark.live),
]

_numbers = count(1)


def directories(lab: Lab) -> dict[str, str]:
    """Return the configuration that lets espm use the CA's directories."""
    return {f"{name}_dir": str(lab.cadir / name) for name in ("signed", "requests")}


def old(request: pytest.FixtureRequest) -> OldCa:
    """Return an old Puppet of the version that the parameter names."""
    directory: Path = request.getfixturevalue("tmp_path")
    return old_ca(directory, request.param.partition("-")[2])


@pytest.fixture(params=BACKENDS)
def ca(request: pytest.FixtureRequest) -> CertificateAuthority:
    """Reach the CA in each way in turn."""
    if request.param == "fake":
        return FakeCa()
    if request.param in OLD:
        return old(request).connect()
    access: PuppetAccess = request.getfixturevalue("access")
    if request.param == "http_api":
        return http_api.connect({}, access)
    lab: Lab = request.getfixturevalue("lab")
    if request.param == "http_api-directories":
        return http_api.connect(directories(lab), access)
    options = {
        "program": "/usr/bin/puppetserver",
        "config": str(lab.puppet_conf),
        "command_timeout": 60.0,
    }
    return puppetserver_ca.connect(options, access)


@pytest.fixture
def name(request: pytest.FixtureRequest, ca: CertificateAuthority) -> Iterator[Certname]:
    """Return a certname that nobody else uses; the CA forgets it afterwards."""
    seed = x509.key_sha256(x509.new_key().public_key())[:10]
    certname = Certname(f"ca{next(_numbers)}-{seed}.contract.espm.test")
    yield certname
    if not isinstance(ca, FakeCa | PuppetCert):
        lab: Lab = request.getfixturevalue("lab")
        lab.request("PUT", f"{API}/certificate_status/{certname}", {"desired_state": "revoked"})
        lab.request("DELETE", f"{API}/certificate_status/{certname}")


def order(ca: CertificateAuthority, certname: Certname, key_type: str = "ec") -> bytes:
    """Have a new key's CSR signed and return the certificate."""
    ca.submit(certname, x509.new_csr(certname, x509.new_key(key_type)))
    return ca.sign(certname).pem


def test_a_csr_becomes_a_certificate_of_its_key(ca: CertificateAuthority, name: Certname) -> None:
    """What is signed is the key that was handed in, under the name that was asked for."""
    key = x509.new_key()
    ca.submit(name, x509.new_csr(name, key))
    pem = ca.sign(name).pem

    assert x509.key_sha256(key.public_key()) == x509.parse_certificate(pem).key_sha256
    assert name == x509.common_name(pem)


def test_an_rsa_key_is_signed_as_well(ca: CertificateAuthority, name: Certname) -> None:
    """Nodes with old TLS libraries need RSA."""
    pem = order(ca, name, "rsa")

    assert name == x509.common_name(pem)


def test_the_bundle_vouches_for_what_is_signed(ca: CertificateAuthority, name: Certname) -> None:
    """One certificate of the bundle signed the node's."""
    certificate = load_pem_x509_certificate(order(ca, name))
    issuers = [c for c in x509.certificates(ca.bundle()) if c.subject == certificate.issuer]

    assert len(issuers) == 1
    certificate.verify_directly_issued_by(issuers[0])


def test_signing_twice_gives_the_same_certificate(ca: CertificateAuthority, name: Certname) -> None:
    """Whoever lost an answer may ask again; the second call has not signed anything."""
    ca.submit(name, x509.new_csr(name, x509.new_key()))
    first, second = ca.sign(name), ca.sign(name)

    assert x509.fingerprint(first.pem) == x509.fingerprint(second.pem)
    assert (first.by_us, second.by_us) == (True, False)


def test_what_is_about_to_be_signed_is_not_signed(ca: CertificateAuthority, name: Certname) -> None:
    """Whoever dies before the node is classified leaves a CSR that waits, and no certificate."""
    csr = x509.new_csr(name, x509.new_key())
    ca.submit(name, csr)
    ca.version()  # A connection is at hand then.

    with ca.about_to_sign(name):
        time.sleep(0.2)  # Long enough to sign, if what has come of the call were enough.
        left = ca.request(name), ca.certificate(name)
    with ca.about_to_sign(name):
        pem, by_us = ca.sign(name, csr)

    assert (left[0] is not None, left[1], by_us) == (True, None, True)
    assert x509.parse_certificate(pem).key_sha256 == x509.csr_key_sha256(csr)


def overtake(
    request: pytest.FixtureRequest, ca: CertificateAuthority, certname: Certname
) -> str | None:
    """Have another CSR written over the one that waits; return the SHA-256 of its key.

    A server does that which had begun to take it before the other was there.
    """
    csr = x509.new_csr(certname, x509.new_key())
    if isinstance(ca, FakeCa):
        ca.overtaking[certname] = csr
    elif isinstance(ca, PuppetCert):
        signed = certificate_file(ca, certname).parent
        signed.with_name("requests").joinpath(f"{certname}.pem").write_bytes(csr)
    else:
        lab: Lab = request.getfixturevalue("lab")
        (lab.cadir / "requests" / f"{certname}.pem").write_bytes(csr)
    return x509.csr_key_sha256(csr)


def test_a_csr_that_overtook_ours_is_told_in_time_or_by_its_certificate(
    request: pytest.FixtureRequest, ca: CertificateAuthority, name: Certname
) -> None:
    """Either it is not signed, or it is known that our call has done so."""
    ca.submit(name, ours := x509.new_csr(name, x509.new_key()))
    theirs = overtake(request, ca, name)

    if isinstance(ca, http_api.HttpApi) and ca.puts():
        with pytest.raises(CsrPending):
            ca.sign(name, ours)
        assert ca.certificate(name) is None
        ca.withdraw(name)
    else:
        pem, by_us = ca.sign(name, ours)
        assert (x509.parse_certificate(pem).key_sha256, by_us) == (theirs, True)


def test_a_name_without_csr_cannot_be_signed(ca: CertificateAuthority, name: Certname) -> None:
    """There is nothing to sign."""
    with pytest.raises(CsrUnknown):
        ca.sign(name)


def test_an_unknown_name_has_nothing(ca: CertificateAuthority, name: Certname) -> None:
    """None is not an error."""
    assert (ca.certificate(name), ca.request(name)) == (None, None)


def test_a_second_csr_is_refused_while_one_waits(ca: CertificateAuthority, name: Certname) -> None:
    """The one that waits may be a stranger's."""
    first = x509.new_csr(name, x509.new_key())
    ca.submit(name, first)

    with pytest.raises(CsrPending):
        ca.submit(name, x509.new_csr(name, x509.new_key()))

    waiting = ca.request(name)
    assert waiting is not None
    assert x509.csr_der_sha256(first) == x509.csr_der_sha256(waiting)


@pytest.mark.parametrize("revoked", [False, True])
def test_a_csr_is_refused_while_a_certificate_is_there(
    ca: CertificateAuthority, name: Certname, *, revoked: bool
) -> None:
    """A name with a certificate is taken, also when that is revoked."""
    order(ca, name)
    if revoked:
        ca.revoke([name])

    with pytest.raises(CertnameTaken):
        ca.submit(name, x509.new_csr(name, x509.new_key()))


def test_a_csr_that_waits_can_be_replaced(ca: CertificateAuthority, name: Certname) -> None:
    """Once withdrawn, the CSR is gone and another one is signed."""
    ca.submit(name, x509.new_csr(name, x509.new_key()))
    ca.withdraw(name)
    gone = ca.request(name)
    key = x509.new_key()
    ca.submit(name, x509.new_csr(name, key))

    assert gone is None
    assert x509.key_sha256(key.public_key()) == x509.parse_certificate(ca.sign(name).pem).key_sha256


def test_withdrawing_twice_is_fine(ca: CertificateAuthority, name: Certname) -> None:
    """It is idempotent."""
    ca.submit(name, x509.new_csr(name, x509.new_key()))
    ca.withdraw(name)
    ca.withdraw(name)

    assert ca.request(name) is None


def test_a_revoked_certificate_is_in_the_crl_and_still_held(
    ca: CertificateAuthority, name: Certname
) -> None:
    """The CRL of the certificate's issuer proves it; the file stays until it is cleaned."""
    pem = order(ca, name)
    before = is_revoked(ca.crl(), pem, ca.bundle())
    ca.revoke([name])
    after = is_revoked(ca.crl(), pem, ca.bundle())

    assert (before, after) == (False, True)
    assert ca.certificate(name) is not None


def test_revoking_twice_is_fine(ca: CertificateAuthority, name: Certname) -> None:
    """It is idempotent."""
    pem = order(ca, name)
    ca.revoke([name])
    ca.revoke([name])

    assert is_revoked(ca.crl(), pem)


def test_revoking_an_unknown_name_is_fine(ca: CertificateAuthority, name: Certname) -> None:
    """There is nothing to revoke, which is what was wanted."""
    ca.revoke([name])

    assert ca.certificate(name) is None


def test_revoking_leaves_a_csr_that_waits_alone(ca: CertificateAuthority, name: Certname) -> None:
    """A CSR is no certificate."""
    ca.submit(name, x509.new_csr(name, x509.new_key()))
    ca.revoke([name])

    assert ca.request(name) is not None


def test_a_cleaned_name_can_be_issued_again(ca: CertificateAuthority, name: Certname) -> None:
    """Names are recycled in clouds: another key, and only the first certificate is revoked."""
    first = order(ca, name)
    ca.revoke([name])
    ca.clean(name)
    gone = ca.certificate(name)
    second = order(ca, name)

    assert gone is None
    assert x509.parse_certificate(first).key_sha256 != x509.parse_certificate(second).key_sha256
    crl = ca.crl()
    assert (is_revoked(crl, first), is_revoked(crl, second)) == (True, False)


def test_cleaning_removes_a_csr_too_and_twice_is_fine(
    ca: CertificateAuthority, name: Certname
) -> None:
    """It is idempotent, and leaves nothing of the name."""
    ca.submit(name, x509.new_csr(name, x509.new_key()))
    ca.clean(name)
    ca.clean(name)

    assert ca.request(name) is None


def test_two_threads_do_not_disturb_each_other(ca: CertificateAuthority, name: Certname) -> None:
    """Two names are issued, revoked and cleaned side by side, and both are in the CRL."""
    names = [name, Certname(f"b{name}")]
    issued: dict[str, bytes] = {}
    start = threading.Barrier(len(names))

    def live(certname: Certname) -> None:
        start.wait(timeout=60)
        issued[certname] = order(ca, certname)
        ca.revoke([certname])
        ca.clean(certname)

    threads = [threading.Thread(target=live, args=[certname]) for certname in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)

    crl = ca.crl()
    assert [is_revoked(crl, issued[certname]) for certname in names] == [True, True]


def test_the_version_is_known(ca: CertificateAuthority) -> None:
    """It is that of Puppet Server, major version first."""
    assert ca.version().split(".")[0].isdigit()


HEALING = ["fake", *_OLD, pytest.param("http_api", marks=pytest.mark.live)]


@pytest.fixture(params=HEALING)
def healing(request: pytest.FixtureRequest) -> CertificateAuthority:
    """Reach a CA whose lost revocations can be healed, in each way in turn."""
    if request.param == "fake":
        fake = FakeCa()
        fake.heals = True
        return fake
    if request.param in OLD:
        return old(request).connect()
    access: PuppetAccess = request.getfixturevalue("access")
    lab: Lab = request.getfixturevalue("lab")
    return http_api.connect({"ca_scope": "full", "signed_dir": str(lab.cadir / "signed")}, access)


def lose(ca: CertificateAuthority, name: Certname) -> None:
    """Remove the certificate of *name* without a revocation: what a lost one looks like."""
    if isinstance(ca, PuppetCert):
        certificate_file(ca, name).unlink()
    else:
        ca.clean(name)


@pytest.fixture
def names() -> list[Certname]:
    """Return certnames that nobody else uses."""
    seed = x509.key_sha256(x509.new_key().public_key())[:10]
    return [Certname(f"ca{next(_numbers)}-{seed}.contract.espm.test") for _ in range(5)]


def test_many_names_are_cleaned_at_once(
    healing: CertificateAuthority, names: list[Certname]
) -> None:
    """All are revoked and their names free; one that the CA does not know is no error."""
    issued = [order(healing, name) for name in names]
    if not healing.can_clean():
        assert healing.version() == "2.7.12", "up to 2.7.18 clean removes what it has not revoked"
        return

    healing.clean_all([*names, Certname("unknown.contract.espm.test")])

    crl = x509.Revocations(healing.crl(), healing.bundle())
    assert all(crl.show(x509.parse_certificate(pem)) for pem in issued)
    assert [healing.certificate(name) for name in names] == [None] * len(names)
    healing.clean_all(names)


def test_a_lost_certificate_is_healed_and_no_other(
    healing: CertificateAuthority, names: list[Certname]
) -> None:
    """One that vanished unrevoked gets into the CRL, though the name has a new one since."""
    name = names[0]
    lost = x509.parse_certificate(order(healing, name))
    lose(healing, name)
    anew = x509.parse_certificate(order(healing, name))
    before = x509.Revocations(healing.crl(), healing.bundle())

    assert healing.can_heal()
    healing.heal(name, lost)
    healing.heal(name, lost)

    after = x509.Revocations(healing.crl(), healing.bundle())
    assert (before.show(lost), after.show(lost), after.show(anew)) == (False, True, False)
    assert x509.parse_certificate(healing.certificate(name) or b"") == anew
    healing.clean(name)


@pytest.mark.live
def test_healing_leaves_nothing_in_the_directory(
    access: PuppetAccess, lab: Lab, names: list[Certname]
) -> None:
    """Neither the certificate that was put back nor one that a process left which was killed."""
    signed = lab.cadir / "signed"
    left = signed / "espm-heal-ff.pem"
    left.write_text("left by somebody who was killed an hour ago")
    os.utime(left, (time.time() - 3600,) * 2)
    ca = http_api.connect({"ca_scope": "full", "signed_dir": str(signed)}, access)
    lost = x509.parse_certificate(order(ca, names[0]))
    ca.heal(names[0], lost)
    ca.clean(names[0])

    assert ca.can_heal()
    assert list(signed.glob("espm-heal*")) == []


@pytest.mark.live
def test_the_directory_of_another_ca_heals_nothing(access: PuppetAccess, tmp_path: Path) -> None:
    """A directory is only trusted when the CA answers with what was put there."""
    for directory in (tmp_path, tmp_path / "missing"):
        ca = http_api.connect({"ca_scope": "full", "signed_dir": str(directory)}, access)

        assert not ca.can_heal()
        assert not ca.can_clean()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.live
def test_clean_is_not_used_without_the_scope(access: PuppetAccess, lab: Lab) -> None:
    """With ca_scope = prefix names are revoked one by one, also where healing is possible."""
    ca = http_api.connect({"signed_dir": str(lab.cadir / "signed")}, access)

    assert (ca.can_clean(), ca.can_heal()) == (False, True)


@pytest.mark.live
def test_a_csr_that_is_put_there_is_one_that_waits(
    access: PuppetAccess, lab: Lab, names: list[Certname]
) -> None:
    """The native command signs it, as any other."""
    ca, certname = http_api.connect(directories(lab), access), names[0]
    pem = x509.new_csr(certname, x509.new_key())

    ca.submit(certname, pem)
    waits = lab.request("GET", f"{API}/certificate_request/{certname}")[1]
    lab.cli("ca", "sign", "--certname", certname)

    assert waits == pem
    assert x509.parse_certificate(ca.sign(certname).pem).key_sha256 == x509.csr_key_sha256(pem)
    assert not list((lab.cadir / "requests").glob(f"{certname}*"))
    lab.cli("ca", "clean", "--certname", certname)


@pytest.mark.live
def test_what_a_directory_is_tried_with_is_signed_by_nobody(
    access: PuppetAccess, lab: Lab, names: list[Certname]
) -> None:
    """Whoever signs everything that waits does not sign that, nor is any of it left."""
    ca = http_api.connect(directories(lab), access)
    (lab.cadir / "requests" / f"{names[0]}.pem").write_bytes(x509.unsignable_csr(names[0]))
    wish = {"desired_state": "signed"}

    status, answer = lab.request("PUT", f"{API}/certificate_status/{names[0]}", wish)
    listed = lab.request("GET", f"{API}/certificate_statuses/all")[0]
    ca.withdraw(names[0])
    ca.submit(names[1], x509.new_csr(names[1], x509.new_key()))
    ca.withdraw(names[1])

    assert (status, b"signing key" in answer, listed) == (409, True, 200)
    assert not list((lab.cadir / "requests").glob("espm-heal*.pem"))


@pytest.mark.live
def test_csrs_come_in_one_file_one_after_the_other(
    access: PuppetAccess, lab: Lab, names: list[Certname]
) -> None:
    """The CA takes only the name of each away; the file, which it does not list, has the next."""
    ca, inodes = http_api.connect(directories(lab), access), []

    for certname in names[:2]:
        csr = x509.new_csr(certname, x509.new_key())
        ca.submit(certname, csr)
        inodes.append((lab.cadir / "requests" / f"{certname}.pem").stat().st_ino)
        key = x509.parse_certificate(ca.sign(certname, csr).pem).key_sha256
        assert key == x509.csr_key_sha256(csr)
    status, listed = lab.request("GET", f"{API}/certificate_statuses/all")

    assert inodes[0] == inodes[1]
    assert (status, b"espm-heal" in listed) == (200, False)
    for certname in names[:2]:
        lab.cli("ca", "clean", "--certname", certname)


@pytest.mark.live
def test_a_csr_of_another_name_keeps_the_ca_from_nothing(
    access: PuppetAccess, lab: Lab, names: list[Certname]
) -> None:
    """A power failure may leave a name that was taken away, with what its file has had since."""
    ca, (taken, since, *_) = http_api.connect(directories(lab), access), names
    csr = x509.new_csr(since, x509.new_key())
    (lab.cadir / "requests" / f"{taken}.pem").write_bytes(csr)
    wish = {"desired_state": "signed"}

    listed = lab.request("GET", f"{API}/certificate_statuses/all")[0]
    status, answer = lab.request("PUT", f"{API}/certificate_status/{taken}", wish)
    ca.submit(since, csr)
    pem = ca.sign(since, csr).pem
    ca.withdraw(taken)

    assert (listed, status, b"does not match" in answer) == (200, 409, True)
    assert x509.parse_certificate(pem).key_sha256 == x509.csr_key_sha256(csr)
    assert not (lab.cadir / "requests" / f"{taken}.pem").exists()
    lab.cli("ca", "clean", "--certname", since)
