"""What a request that failed, died or was overtaken may not do to what others were told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from espm import certificates, ledger, nodes, vigil, x509
from espm.carrying import take_back
from espm.errors import BackendSilent, BackendUnavailable, CertificateExists
from espm.model import Certname, Classification, IntentKind, Job, NodeState
from espm.ordering import Order
from espm.revoker import Revoker
from tests.alone import CLOUD, NAME, add, espm_alone
from tests.crls import is_revoked

if TYPE_CHECKING:
    from pathlib import Path

    from espm.model import SignedCertificate
    from tests.api.platform import Espm

espm = pytest.fixture(espm_alone)


def issue(espm: Espm, order: Order) -> bytes:
    """Have a certificate issued and return it."""
    certificates.issue(CLOUD, NAME, order, espm.ports, request_id="r")
    return espm.ca.issued[NAME]


def valid(espm: Espm, pem: bytes) -> bool:
    """Return whether the CA holds a certificate that the CRL does not show."""
    return pem in espm.ca.issued.values() and not is_revoked(espm.ca.crl(), pem)


def test_an_addition_that_was_taken_over_leaves_the_next_node_of_that_name_alone(
    espm: Espm, tmp_path: Path
) -> None:
    """It failed only after another had undone it, and the name had been given anew."""
    with ledger.open_ledger(f"sqlite:///{tmp_path}/ledger.db") as slow:
        node, intent = slow.reserve(NAME, CLOUD.name, Classification(), request_id="slow")
        espm.recover()
        pem = add(espm)
        take_back(node, intent, replace(espm.ports, ledger=slow))

    assert [each.state for each in espm.ledger.nodes()] == [NodeState.ACTIVE]
    assert valid(espm, pem)


def test_a_second_issue_that_dies_leaves_the_first_certificate_alone(espm: Espm) -> None:
    """It is refused before it has begun, so that there is nothing to be taken back."""
    pem = add(espm)
    node = espm.ledger.node(CLOUD.name, NAME)
    with pytest.raises(CertificateExists):
        espm.ledger.begin(node, IntentKind.ISSUE, request_id="second")
    with pytest.raises(CertificateExists):
        certificates.issue(CLOUD, NAME, Order(), espm.ports, request_id="third")
    espm.recover()

    assert valid(espm, pem)


@pytest.mark.parametrize("added_anew", [False, True])
def test_a_csr_that_is_handed_in_again_is_not_taken_for_the_late_one(
    espm: Espm, *, added_anew: bool
) -> None:
    """The CA was silent, the platform repeats its call: what that gives stays valid."""
    order = Order(csr=x509.new_csr(NAME, x509.new_key()))
    if not added_anew:
        nodes.add_node(CLOUD, NAME, Classification(), espm.ports, request_id="r")
    espm.ca.fail_before["submit"] = BackendSilent("no answer in time")
    ask = add if added_anew else issue
    with pytest.raises(BackendUnavailable):
        ask(espm, order)
    espm.ca.fail_before.clear()
    pem = ask(espm, order)
    vigil.look_again(60, espm.ports)

    assert valid(espm, pem)


def test_a_csr_that_is_handed_in_again_is_not_withdrawn_as_the_late_one(espm: Espm) -> None:
    """The second look comes between handing in and signing."""
    order = Order(csr=x509.new_csr(NAME, x509.new_key()))
    espm.ca.fail_before["submit"] = BackendSilent("no answer in time")
    with pytest.raises(BackendUnavailable):
        add(espm, order)
    espm.ca.fail_before.clear()
    sign = espm.ca.sign

    def looks_first(certname: Certname, _csr: bytes | None = None) -> SignedCertificate:
        vigil.look_again(60, espm.ports)
        return sign(certname)

    espm.ca.sign = looks_first  # type: ignore[method-assign]

    assert valid(espm, add(espm, order))


def test_a_deletion_that_goes_on_withholds_what_the_first_did_not_come_to(espm: Espm) -> None:
    """The ledger's answer to the first was lost; the second promises that catalogs are withheld."""
    add(espm)
    ports = replace(espm.ports, carrier=Revoker(espm.ports))
    node = espm.ledger.node(CLOUD.name, NAME)
    espm.ledger.begin(node, IntentKind.DELETE, request_id="lost")
    job = nodes.delete_node(CLOUD, NAME, ports, request_id="second", patience=0.0)

    assert isinstance(job, Job)
    assert '"withheld"' in (espm.document(NAME) or "")
