"""The double of the CA fails when and how a test wants it; the contract suite tests the rest."""

from __future__ import annotations

import pytest

from espm import x509
from espm.errors import BackendSilent, BackendUnavailable, CertnameTaken
from espm.model import Certname
from tests.crls import is_revoked
from tests.fakes import FakeCa

NAME = Certname("web1.example.com")


def test_a_call_can_fail_without_or_after_its_effect() -> None:
    """Both look the same to the caller."""
    ca, csr = FakeCa(), x509.new_csr(NAME, x509.new_key())
    ca.fail_before["submit"] = BackendUnavailable("before")
    with pytest.raises(BackendUnavailable, match="before"):
        ca.submit(NAME, csr)
    before = ca.requests.get(NAME)
    ca.fail_before.clear()
    ca.fail_after["submit"] = BackendUnavailable("after")
    with pytest.raises(BackendUnavailable, match="after"):
        ca.submit(NAME, csr)

    assert (before, ca.requests.get(NAME)) == (None, csr)
    assert ca.calls == [("submit", NAME), ("submit", NAME)]


def test_autosign_and_lost_revocations() -> None:
    """What real CAs do as well."""
    ca = FakeCa()
    ca.autosign = ca.loses_revocations = True
    ca.submit(NAME, x509.new_csr(NAME, x509.new_key()))
    pem = ca.certificate(NAME)
    ca.revoke([NAME])

    assert pem is not None
    assert not is_revoked(ca.crl(), pem)


def issued(ca: FakeCa) -> bytes:
    """Have a new key's CSR signed and return the certificate."""
    ca.submit(NAME, x509.new_csr(NAME, x509.new_key()))
    return ca.sign(NAME).pem


def test_a_ca_that_is_away_answers_nothing_and_does_nothing() -> None:
    """Whoever calls it hears the same for each call."""
    ca, csr = FakeCa(), x509.new_csr(NAME, x509.new_key())
    ca.away = True
    with pytest.raises(BackendSilent, match="submit"):
        ca.submit(NAME, csr)
    ca.away = False

    assert ca.catch_up() == 0
    assert ca.request(NAME) is None


def test_a_call_can_take_effect_after_its_caller_gave_up() -> None:
    """Nothing is done before the CA catches up, and then once."""
    ca, csr = FakeCa(), x509.new_csr(NAME, x509.new_key())
    ca.late.add("submit")
    with pytest.raises(BackendSilent):
        ca.submit(NAME, csr)
    before = ca.request(NAME)

    assert (ca.catch_up(), ca.catch_up()) == (1, 0)
    assert (before, ca.request(NAME)) == (None, csr)


def test_what_comes_too_late_is_refused_like_anything_else() -> None:
    """The name may have gone to somebody else meanwhile."""
    ca, theirs = FakeCa(), x509.new_csr(NAME, x509.new_key())
    ca.late.add("submit")
    with pytest.raises(BackendSilent):
        ca.submit(NAME, x509.new_csr(NAME, x509.new_key()))
    ca.late.clear()
    ca.submit(NAME, theirs)

    assert ca.catch_up() == 1
    assert ca.request(NAME) == theirs


def test_a_clean_can_lose_what_a_revocation_does_not() -> None:
    """As Puppet Server's own."""
    ca = FakeCa()
    ca.clean_loses = True
    lost = issued(ca)
    ca.clean_all([NAME])
    kept = issued(ca)
    ca.revoke([NAME])

    assert (is_revoked(ca.crl(), lost), is_revoked(ca.crl(), kept)) == (False, True)


def test_a_renewal_is_another_certificate_of_the_same_key() -> None:
    """The old one is valid still, and the CA holds it no more."""
    ca = FakeCa()
    old = x509.parse_certificate(issued(ca))
    new = x509.parse_certificate(ca.renew(NAME))

    assert (old.key_sha256, old.serial != new.serial) == (new.key_sha256, True)
    assert ca.issued[NAME] == new.pem.encode()


def test_a_stranger_can_take_the_place_of_a_certificate() -> None:
    """Ours is valid still; theirs has another key."""
    ca = FakeCa()
    ours = issued(ca)
    theirs = ca.sign_instead(NAME, x509.new_csr(NAME, x509.new_key()))

    assert ca.certificate(NAME) == theirs
    assert not is_revoked(ca.crl(), ours)
    assert ca.signed[-2:] == [ours, theirs]


def test_a_csr_is_not_withdrawn_where_a_certificate_is() -> None:
    """Puppet's CA would remove both."""
    ca = FakeCa()
    issued(ca)
    with pytest.raises(CertnameTaken):
        ca.withdraw(NAME)
