"""What a launch asks of the CA, in which order, and what it leaves when the CA says no."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from cryptography.x509 import load_pem_x509_certificate

from espm import certificates, endings, nodes, ordering, vigil, x509
from espm.errors import (
    BackendUnavailable,
    CertnameTaken,
    CsrMismatch,
    CsrPending,
)
from espm.ledger import SqlLedger
from espm.model import (
    CertificateState,
    Classification,
    IntentKind,
    KeyMaker,
    NodeState,
    OrderedKey,
    SignedCertificate,
)
from tests import hostile
from tests.alone import CLOUD, NAME, espm_alone
from tests.crls import is_revoked

if TYPE_CHECKING:
    from espm.model import Certname, Issued
    from tests.api.platform import Espm

espm = pytest.fixture(espm_alone)

AGAIN = "try again"

#: The DER of the name of the curve of all our keys.
P256 = bytes.fromhex("06082a8648ce3d030107")


def launch(espm: Espm, **order: Any) -> nodes.Accepted:
    """Add a node with a certificate."""
    return nodes.add_node(
        CLOUD,
        NAME,
        Classification(),
        espm.ports,
        order=ordering.Order(**order),
        request_id="r",
    )


def asked(espm: Espm) -> list[str]:
    """Return what the CA was asked so far."""
    return [call[0] for call in espm.ca.calls]


def test_the_ca_is_asked_no_more_than_it_has_to_be(espm: Espm) -> None:
    """That the name is free is told by handing the CSR in; meanwhile the CA gets ready to sign."""
    launch(espm)

    first, last = ["certificate", "check_rights", "bundle"], ["about_to_sign", "submit", "sign"]
    assert asked(espm) == first + last


def test_a_node_is_classified_after_its_csr_was_taken_and_before_it_is_signed(espm: Espm) -> None:
    """Nobody else's node gets its classification, and it never talks to Puppet without one."""
    seen: list[list[str]] = []
    classify = espm.ports.classifier.classify

    class Watching:
        def __getattr__(self, name: str) -> Any:
            return getattr(espm.ports.classifier, name)

        def classify(self, node: Any) -> None:
            seen.append(asked(espm))
            classify(node)

    nodes.add_node(
        CLOUD,
        NAME,
        Classification(),
        replace(espm.ports, classifier=Watching()),
        order=ordering.Order(),
        request_id="r",
    )

    assert [calls[-1] for calls in seen] == ["submit"]


def test_a_csr_of_the_same_key_that_waited_is_nobodys_to_withdraw(espm: Espm) -> None:
    """The agent handed it in itself; the refused order of its key does not count as ours."""
    csr = x509.new_csr(NAME, x509.new_key())
    espm.ca.submit(NAME, csr)

    with pytest.raises(CsrPending, match="sign_pending"):
        launch(espm, csr=csr)

    assert espm.ca.requests == {NAME: csr}
    assert list(espm.ledger.watched(3600)) == []
    assert list(espm.ledger.nodes()) == []


def test_a_certificate_that_comes_in_between_is_left_alone(espm: Espm) -> None:
    """Somebody signs the name between our look and our CSR: theirs, and nothing is withheld."""
    theirs = x509.new_csr(NAME, x509.new_key())
    withheld: list[str] = []
    check_rights = espm.ca.check_rights

    def sign_theirs(certname: Any) -> None:
        check_rights(certname)
        espm.ca.sign_instead(certname, theirs)

    class Watching:
        def __getattr__(self, name: str) -> Any:
            return getattr(espm.ports.classifier, name)

        def withhold(self, node: Any) -> None:
            withheld.append(node.certname)

    espm.ca.check_rights = sign_theirs  # type: ignore[method-assign]
    ports = replace(espm.ports, classifier=Watching())
    with pytest.raises(CertnameTaken):
        nodes.add_node(CLOUD, NAME, Classification(), ports, order=ordering.Order(), request_id="r")

    assert not is_revoked(espm.ca.crl(), espm.ca.issued[NAME], espm.ca.bundle())
    assert withheld == []
    assert list(espm.ledger.nodes()) == []


def test_a_csr_that_overtakes_ours_gets_nothing_that_lasts(espm: Espm) -> None:
    """What our call signed for a stranger is revoked with proof, and the name is free."""
    espm.ca.overtaking[NAME] = x509.new_csr(NAME, x509.new_key())

    with pytest.raises(BackendUnavailable, match=AGAIN):
        launch(espm)

    assert [each.serial for each in signed(espm)] == [*espm.ca.revoked]
    assert espm.ca.issued == espm.ca.requests == {}
    assert list(espm.ledger.nodes()) == []
    assert launch(espm).delivery is not None


@pytest.mark.parametrize("action", ["revoke", "crl"])
def test_what_overtook_ours_is_revoked_however_long_that_takes(espm: Espm, action: str) -> None:
    """It is in the ledger, with the name kept and the catalogs withheld until it is proved."""
    espm.ca.overtaking[NAME] = x509.new_csr(NAME, x509.new_key())
    espm.ca.fail_before[action] = BackendUnavailable("not now")

    with pytest.raises(BackendUnavailable, match="somebody else"):
        launch(espm)

    [node] = espm.ledger.nodes()
    assert node.state is NodeState.DELETING
    assert [each.state for each in espm.ledger.certificates(node)] == [CertificateState.REVOKING]
    espm.ca.fail_before.clear()
    espm.recover()
    assert [each.serial for each in signed(espm)] == [*espm.ca.revoked]
    assert list(espm.ledger.nodes()) == []


def test_an_overtaking_csr_of_a_node_in_force_is_revoked_though_its_order_was_taken_over(
    espm: Espm,
) -> None:
    """Another espm has found the order void and closed it; nobody else would see to the end."""
    nodes.add_node(CLOUD, NAME, Classification(), espm.ports, request_id="r")
    espm.ca.overtaking[NAME] = x509.new_csr(NAME, x509.new_key())
    disown = espm.ledger.disown

    def late(intent: Any, issued: Any) -> Any:
        [ordered] = espm.ledger.certificates(node)
        espm.ledger.mark(ordered, CertificateState.VOID)
        espm.ledger.close(intent)
        return disown(intent, issued)

    [node] = espm.ledger.nodes()
    espm.ledger.disown = late  # type: ignore[method-assign]
    with pytest.raises(BackendUnavailable):
        certificates.issue(CLOUD, NAME, ordering.Order(), espm.ports, request_id="r")

    assert [each.serial for each in signed(espm)] == [*espm.ca.revoked]
    assert list(espm.ledger.certificates(node)) == []


def test_a_disowned_certificate_is_never_kept(espm: Espm) -> None:
    """An order that is carried on keeps what the node can use, but not a stranger's."""
    nodes.add_node(CLOUD, NAME, Classification(), espm.ports, request_id="r")
    espm.ca.overtaking[NAME] = x509.new_csr(NAME, x509.new_key())
    espm.ca.fail_before["revoke"] = BackendUnavailable("not now")
    own = x509.new_csr(NAME, x509.new_key())

    with pytest.raises(BackendUnavailable):
        certificates.issue(CLOUD, NAME, ordering.Order(csr=own), espm.ports, request_id="r")

    espm.ca.fail_before.clear()
    espm.recover()
    assert [each.serial for each in signed(espm)] == [*espm.ca.revoked]


def test_a_key_of_a_kind_that_nobody_knows_is_revoked_as_well(espm: Espm) -> None:
    """A stranger may choose one; Puppet Server reads keys that espm's library does not."""
    sign = espm.ca.sign

    def of_an_unknown_curve(certname: Certname, _csr: Any = None) -> SignedCertificate:
        plain = load_pem_x509_certificate(sign(certname).pem).tbs_certificate_bytes
        odd = hostile.signed(plain.replace(P256, P256[:-1] + b"\x63"), espm.ca._key)
        espm.ca.issued[certname] = hostile.pem("CERTIFICATE", odd)
        return SignedCertificate(espm.ca.issued[certname], by_us=True)

    espm.ca.sign = of_an_unknown_curve  # type: ignore[method-assign]
    with pytest.raises(BackendUnavailable, match=AGAIN):
        launch(espm)

    assert [each.serial for each in signed(espm)] == [*espm.ca.revoked]
    assert espm.ca.issued == {}


def test_a_certificate_that_nobody_can_tell_whose_it_is_is_told(
    espm: Espm, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer that said whose call it was is lost: it is left alone, and in the log."""
    espm.ca.overtaking[NAME] = x509.new_csr(NAME, x509.new_key())
    espm.ca.fail_after["sign"] = BackendUnavailable("no answer")

    with pytest.raises(BackendUnavailable):
        launch(espm)

    [theirs] = signed(espm)
    assert caplog.text.count(f"the CA signed another key for {NAME}, serial {theirs.serial:X}") == 1
    assert espm.ca.revoked == set()


def test_who_slept_through_its_lease_disowns_nothing_of_its_successors(
    espm: Espm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its call has the CSR of the next life signed, whose certificate that is."""
    csr = x509.new_csr(NAME, x509.new_key())
    key = OrderedKey(x509.csr_key_sha256(csr) or "", KeyMaker.NODE)
    begun: list[Any] = []

    def sleep(node: Any) -> None:
        add = espm.ledger.open_intent(node, [IntentKind.ADD])
        assert add is not None
        endings.finish_all([(node, add)], espm.ports)
        life = espm.ledger.reserve(NAME, "cloud", Classification(), request_id="n", key=key)
        begun.append(life)
        espm.ca.submit(NAME, csr)

    monkeypatch.setattr(espm.ports.classifier, "classify", sleep)
    with pytest.raises(BackendUnavailable, match="another request"):
        launch(espm)

    [(node, intent)] = begun
    espm.ledger.fulfil(node, intent, x509.parse_certificate(espm.ca.sign(NAME).pem))
    vigil.look_again(60, espm.ports)
    assert espm.ca.revoked == set()
    [node] = espm.ledger.nodes()
    assert [each.state for each in espm.ledger.certificates(node)] == [CertificateState.VALID]


@pytest.mark.parametrize("often", [1, 2])
def test_a_csr_that_overtakes_ours_is_replaced_once_where_that_was_asked_for(
    espm: Espm, often: int
) -> None:
    """It was seen in time; who comes again at the same moment is told of."""
    theirs, sign = x509.new_csr(NAME, x509.new_key()), espm.ca.sign
    seen = iter(range(often))

    def overtaken(certname: Certname, _csr: bytes | None = None) -> SignedCertificate:
        if next(seen, None) is not None:
            espm.ca.requests[certname] = theirs
            raise CsrPending(AGAIN)
        return sign(certname)

    espm.ca.sign = overtaken  # type: ignore[method-assign]
    if often == 1:
        assert launch(espm, replace_pending=True).delivery is not None
        assert espm.ca.requests == {}
    else:
        with pytest.raises(CsrPending, match=AGAIN):
            launch(espm, replace_pending=True)
        assert espm.ca.requests == {NAME: theirs}


def test_what_cannot_be_noted_is_told_with_its_serial(
    espm: Espm, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger is away at that moment, so whose call it was is not known any more."""

    def away(*_: object) -> NoReturn:
        raise BackendUnavailable(AGAIN)

    espm.ca.overtaking[NAME] = x509.new_csr(NAME, x509.new_key())
    monkeypatch.setattr(espm.ledger, "disown", away)
    with pytest.raises(BackendUnavailable, match=AGAIN):
        launch(espm)

    [theirs] = signed(espm)
    assert f"the CA signed another key for {NAME}, serial {theirs.serial:X}" in caplog.text


def signed(espm: Espm) -> list[Issued]:
    """Return every certificate that the CA has signed for a node."""
    return [x509.parse_certificate(pem) for pem in espm.ca.signed[1:]]


def test_what_waits_is_replaced_when_the_platform_says_so(espm: Espm) -> None:
    """The CSR that waited is gone, and the certificate is for the node's key."""
    espm.ca.submit(NAME, x509.new_csr(NAME, x509.new_key()))

    launched = launch(espm, replace_pending=True)

    assert launched.delivery is not None
    issued = launched.delivery.certificate.issued
    assert issued is not None
    assert issued.pem.encode() == espm.ca.issued[NAME]


def test_a_csr_that_was_exchanged_before_the_name_was_reserved_is_not_signed(
    espm: Espm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another life of the name comes and goes while we look at the CSR that waits for ours."""
    ours, theirs = (x509.new_csr(NAME, x509.new_key()) for _ in range(2))
    espm.ca.submit(NAME, ours)
    reserve = SqlLedger.reserve

    def exchange(ledger: SqlLedger, *args: Any, **kwargs: Any) -> Any:
        espm.ca.withdraw(NAME)
        espm.ca.submit(NAME, theirs)
        return reserve(ledger, *args, **kwargs)

    monkeypatch.setattr(SqlLedger, "reserve", exchange)
    with pytest.raises(CsrMismatch):
        launch(espm, sign_pending=x509.csr_der_sha256(ours))

    assert espm.ca.issued == {}
    assert espm.ca.requests == {NAME: theirs}
    assert list(espm.ledger.nodes()) == []


def test_a_csr_that_was_signed_before_the_name_was_reserved_is_as_good(
    espm: Espm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The administrator was quicker: the certificate is for the key that was named."""
    ours = x509.new_csr(NAME, x509.new_key())
    espm.ca.submit(NAME, ours)
    reserve = SqlLedger.reserve

    def sign(ledger: SqlLedger, *args: Any, **kwargs: Any) -> Any:
        espm.ca.sign(NAME)
        return reserve(ledger, *args, **kwargs)

    monkeypatch.setattr(SqlLedger, "reserve", sign)
    launched = launch(espm, sign_pending=x509.csr_der_sha256(ours))

    assert launched.delivery is not None
    assert len(espm.ca.signed) == 2  # The CA's own, and this one.
