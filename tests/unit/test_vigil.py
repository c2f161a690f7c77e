"""A second look at what was settled: what the CA forgot, and what it did too late."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.x509 import load_pem_x509_certificate

from espm import metrics, nodes, proving, settling, vigil, x509
from espm.errors import BackendRefused, BackendSilent, BackendUnavailable
from espm.model import Certificate, CertificateState, Certname, Classification
from espm.ordering import Order
from tests.alone import CLOUD, NAME, add, espm_alone
from tests.crls import is_revoked
from tests.fakes import FakeCa, fail_for
from tests.living import living

if TYPE_CHECKING:
    from collections.abc import Iterator

    from espm.ports import Ports
    from espm.settling import Named
    from tests.api.platform import Espm

espm = pytest.fixture(espm_alone)


def look(espm: Espm) -> None:
    """Look again at what was settled just now."""
    vigil.look_again(60, espm.ports)


def lose(espm: Espm, pem: bytes) -> None:
    """Have the CRL forget a certificate, as another tool's clean does it."""
    espm.ca.revoked.discard(load_pem_x509_certificate(pem).serial_number)


def test_a_revocation_that_the_crl_forgot_is_healed(espm: Espm) -> None:
    """Though its job was done and the node is gone."""
    pem = add(espm)
    espm.ca.heals = True
    nodes.delete_node(CLOUD, NAME, espm.ports, request_id="r")
    lose(espm, pem)
    look(espm)

    assert is_revoked(espm.ca.crl(), pem, espm.ca.bundle())


def test_one_that_cannot_be_healed_is_told(espm: Espm, caplog: pytest.LogCaptureFixture) -> None:
    """The log says how many the CRL has lost."""
    pem = add(espm)
    nodes.delete_node(CLOUD, NAME, espm.ports, request_id="r")
    lose(espm, pem)
    look(espm)

    assert "the CRL has lost 1 revocations" in caplog.text


def test_one_that_healing_does_not_bring_back_is_lost_still(
    espm: Espm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked up again, for what the CA answers is no proof."""
    pem = add(espm)
    espm.ca.heals = True
    monkeypatch.setattr(espm.ca, "heal", lambda *_: None)
    nodes.delete_node(CLOUD, NAME, espm.ports, request_id="r")
    lose(espm, pem)

    assert vigil.look_again(60, espm.ports) == {x509.parse_certificate(pem).serial}


def test_a_name_that_the_ca_answers_oddly_for_keeps_no_other_from_being_healed(
    espm: Espm, caplog: pytest.LogCaptureFixture
) -> None:
    """What can't be looked at is said, and the revocation that was lost is made good."""
    pem = add(espm)
    espm.ca.heals = True
    nodes.delete_node(CLOUD, NAME, espm.ports, request_id="r")
    odd = _void(espm, "odd.example.com")
    lose(espm, pem)
    fail_for(espm.ca, odd, BackendRefused("the CA gave the certificate of another name"))
    look(espm)

    assert is_revoked(espm.ca.crl(), pem, espm.ca.bundle())
    assert "1 orders that came to nothing could not be looked at again" in caplog.text


def test_many_void_orders_take_turns(espm: Espm, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look is for some of them, so that revocations need not wait; all have their turn."""
    monkeypatch.setattr(vigil, "MOST", 2)
    names = {_void(espm, f"void{number}.example.com") for number in range(5)}
    seen: set[Certname] = set()
    turned_up = settling.turned_up

    def noted(certname: Certname, void: Certificate, ports: Ports) -> list[Named]:
        seen.add(certname)
        return turned_up(certname, void, ports)

    monkeypatch.setattr(settling, "turned_up", noted)
    counts = []
    for turn in range(5):
        monkeypatch.setattr(time, "monotonic", lambda now=turn * vigil.EVERY: now)
        before = len(seen)
        look(espm)
        counts.append(len(seen) - before)

    assert max(counts) == 2
    assert seen == names


def _void(espm: Espm, name: str) -> Certname:
    """Have an order that came to nothing."""
    certname = Certname(name)
    espm.ca.fail_before["sign"] = BackendRefused("no")
    with pytest.raises(BackendRefused):
        nodes.add_node(CLOUD, certname, Classification(), espm.ports, order=Order(), request_id="r")
    del espm.ca.fail_before["sign"]
    return certname


def test_a_certificate_of_a_former_ca_is_not_healed(espm: Espm) -> None:
    """A CA that was made anew has given its serial to somebody else."""
    add(espm)
    espm.ca.heals = True
    nodes.delete_node(CLOUD, NAME, espm.ports, request_id="r")
    anew = FakeCa("Puppet CA: anew")
    espm.ca.crl, espm.ca.bundle = anew.crl, anew.bundle  # type: ignore[method-assign]
    espm.ca.calls.clear()
    look(espm)

    assert ("heal", NAME) not in espm.ca.calls


def test_what_was_settled_long_ago_is_not_looked_at(espm: Espm) -> None:
    """The vigil costs nothing when nothing happens."""
    add(espm)
    nodes.delete_node(CLOUD, NAME, espm.ports, request_id="r")

    assert len(list(espm.ledger.revoked(60).named)) == 1
    assert list(espm.ledger.revoked(0).named) == []


def test_thousands_are_not_in_memory_at_once(espm: Espm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends in three minutes, a look at it costs no more memory than a few of them."""
    add(espm)
    nodes.delete_node(CLOUD, NAME, espm.ports, request_id="r")
    found = espm.ledger.revoked(60)
    [(_, revoked)] = found.named
    alive = []

    def thousands() -> Iterator[tuple[Certname, Certificate]]:
        for number in range(2000):
            yield NAME, replace(revoked, ident=number)
        alive.append(living(Certificate))

    many = replace(found, named=thousands())
    monkeypatch.setattr(espm.ledger, "revoked", lambda _: many)
    look(espm)

    assert len(alive) == 1
    assert alive[0] < 100


def test_of_the_crl_is_kept_what_is_looked_for(espm: Espm, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a node is deleted and at each look, for a CRL may list very many others."""
    asked = []

    class Noted(x509.Revocations):
        def __init__(self, pem: bytes, bundle: bytes, *, serials: frozenset[int]) -> None:
            asked.append(set(serials))
            super().__init__(pem, bundle, serials=serials)

    monkeypatch.setattr(proving, "Revocations", Noted)
    other = Certname("web2.example.com")
    nodes.add_node(CLOUD, other, Classification(), espm.ports, order=Order(), request_id="r")
    serial = x509.parse_certificate(add(espm)).serial
    nodes.delete_node(CLOUD, NAME, espm.ports, request_id="r")
    look(espm)

    assert asked == [{serial}, {serial}]


@pytest.mark.parametrize("signed", [False, True], ids=["only handed in", "signed"])
def test_a_csr_that_the_ca_heard_late_is_taken_back(espm: Espm, *, signed: bool) -> None:
    """A CA that hung does what it was told before: the CSR goes, the certificate is revoked."""
    heard: list[bytes] = []

    def hangs(_: Certname, csr: bytes) -> None:
        heard.append(csr)
        msg = "no answer in time"
        raise BackendSilent(msg)

    real, espm.ca.submit = espm.ca.submit, hangs  # type: ignore[method-assign, assignment]
    with pytest.raises(BackendUnavailable):
        add(espm)
    espm.ca.autosign = signed
    real(NAME, heard[0])
    held = espm.ca.issued.get(NAME)
    look(espm)

    assert NAME not in espm.ca.requests
    assert NAME not in espm.ca.issued
    assert (held is not None) == signed
    assert held is None or is_revoked(espm.ca.crl(), held, espm.ca.bundle())
    states = [each.state for _, each in espm.ledger.all_certificates()]
    assert states == [CertificateState.VOID, *([CertificateState.REVOKED] if signed else [])]


def test_a_strangers_csr_of_that_name_is_left_alone(espm: Espm) -> None:
    """The key decides, not the name."""
    espm.ca.fail_before["submit"] = BackendSilent("no answer in time")
    with pytest.raises(BackendUnavailable):
        add(espm)
    espm.ca.fail_before.clear()
    theirs = x509.new_csr(NAME, x509.new_key())
    espm.ca.submit(NAME, theirs)
    look(espm)

    assert espm.ca.requests[NAME] == theirs


def test_a_look_that_fails_is_repeated_later(espm: Espm, caplog: pytest.LogCaptureFixture) -> None:
    """The thread that revokes goes on."""
    pem = add(espm)
    espm.ca.heals = True
    nodes.delete_node(CLOUD, NAME, espm.ports, request_id="r")
    lose(espm, pem)
    espm.ca.fail_before["crl"] = BackendSilent("no answer in time")
    watch = vigil.Vigil()
    watch.look(espm.ports)
    espm.ca.fail_before.clear()
    vigil.Vigil().look(espm.ports)

    assert "could not look again" in caplog.text
    assert is_revoked(espm.ca.crl(), pem, espm.ca.bundle())


def test_what_stays_lost_is_counted_once(espm: Espm) -> None:
    """One loss is one loss, however often it is looked at; a second loss is another."""
    pem = add(espm)
    nodes.delete_node(CLOUD, NAME, espm.ports, request_id="r")
    lose(espm, pem)
    before = metrics.LOST._value.get()
    known = frozenset[int]()
    for _ in range(3):
        known = vigil.look_again(60, espm.ports, known=known)
    once = metrics.LOST._value.get() - before
    espm.ca.heals = True
    known = vigil.look_again(60, espm.ports, known=known)
    lose(espm, pem)
    vigil.look_again(60, espm.ports, known=known)

    assert once == 1
    assert metrics.LOST._value.get() - before == 2
