"""Taking on a node: that its name is free, and the steps until it is active.

::

    check_free ──> reserved ──> classified ──> active                           add
    check_free ──> reserved and ordered ──> handed in ──> classified            launch
                                        ──> signed ──> recorded and active

What fails is taken back: nothing valid and nothing classified remains, or the open intent says what
may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from espm import carrying, endings, intents, ordering
from espm.errors import CertnameTaken, InvalidCertname, NodeUnknown
from espm.model import HEALING, NodeState

if TYPE_CHECKING:
    from espm.model import Certname, Classification, Node, Platform
    from espm.ports import Ports


def check_free(platform: Platform, certname: Certname, ports: Ports) -> None:
    """Return when nobody has the name, as far as can be told beforehand.

    :raises espm.errors.CertnameTaken: the ledger, the ENC or the CA has it.
    :raises espm.errors.NodeBusy: it was the platform's own, and is not over yet.
    """
    _settle_former_life(platform, certname, ports)
    _refuse_classified(certname, ports)
    ordering.refuse_certified(certname, ports)


def refuse_reserved(certname: Certname, ports: Ports) -> None:
    """Return when the name may be a node's.

    :raises espm.errors.InvalidCertname: it is a server's, or espm's own.
    """
    if certname in ports.reserved or certname.startswith(HEALING):
        msg = f"'{certname}' is the name of a Puppet server or of espm and never a node's"
        raise InvalidCertname(msg)


def add(
    platform: Platform,
    certname: Certname,
    classification: Classification,
    ports: Ports,
    request_id: str,
) -> Node:
    """Add a node without a certificate."""
    reserve = ports.ledger.reserve
    node, intent = reserve(certname, platform.name, classification, request_id=request_id)
    with intents.or_else(lambda: carrying.take_back(node, intent, ports), intent, ports):
        ports.classifier.classify(node)
        return ports.ledger.activate(intent)


def launch(
    platform: Platform,
    certname: Certname,
    classification: Classification,
    request: ordering.Request,
    ports: Ports,
    request_id: str,
) -> tuple[Node, ordering.Delivery]:
    """Add a node with the certificate that is made of *request*.

    The CA takes the CSR before the node is classified, so that nobody else's node of that name
    ever gets this one's classification.
    """
    bundle, reserve = ports.ca.bundle(), ports.ledger.reserve
    node, intent = reserve(
        certname, platform.name, classification, request_id=request_id, key=request.key
    )
    with intents.or_else(lambda: carrying.take_back(node, intent, ports), intent, ports):
        with ports.ca.about_to_sign(certname):
            ordering.hand_in(certname, intent, request, ports)
            ports.classifier.classify(node)
            issued = ordering.sign(certname, intent, request, platform, ports)
        added, certificate = ports.ledger.fulfil(node, intent, issued)
    return added, ordering.Delivery(certificate, bundle, request.private_key)


def _settle_former_life(platform: Platform, certname: Certname, ports: Ports) -> None:
    """Carry on what was left of the platform's own node of that name, so that the name is free.

    :raises espm.errors.NodeBusy: it is not yet; try again later.
    :raises espm.errors.CertnameTaken: that node is active.
    """
    try:
        node = ports.ledger.node(platform.name, certname)
    except NodeUnknown:
        return
    if node.state is NodeState.ACTIVE:
        # Said without a transaction, for one that writes keeps all others waiting.
        raise _taken(certname)
    carrying.settle_left(node, endings.DELETIONS, ports)


def _refuse_classified(certname: Certname, ports: Ports) -> None:
    """Ask the ENC before the name is reserved: what is reserved is forgotten there if need be.

    An ENC may keep no mark of who told it of a node, so it must not have had one before.
    """
    if ports.classifier.knows(certname):
        raise _taken(certname)


def _taken(certname: Certname) -> CertnameTaken:
    return CertnameTaken(f"the name {certname} is taken; choose another")
