"""The double of the CA fails when and how a test wants it; the contract suite tests the rest."""

from __future__ import annotations

import pytest

from espm import x509
from espm.errors import BackendUnavailable
from espm.model import Certname
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
    assert not x509.revoked(ca.crl(), pem)
