"""What espm's use cases need from outside, as Protocols; adapters fulfil them.

Each says what it raises, what is idempotent and what is guaranteed.  One suite of contract
tests (``tests/contract``) holds every adapter and every double to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from espm.ports.ca import CertificateAuthority, Generating
from espm.ports.carrier import Carrier
from espm.ports.enc import (
    ClassCatalogue,
    Classifier,
    Orphans,
    Rebuildable,
    Rebuilt,
    Reloadable,
)
from espm.ports.ledger import Ledger
from espm.ports.replays import Replays

__all__ = [
    "Carrier",
    "CertificateAuthority",
    "ClassCatalogue",
    "Classifier",
    "Generating",
    "Ledger",
    "Orphans",
    "Ports",
    "Rebuildable",
    "Rebuilt",
    "Reloadable",
    "Replays",
]


@dataclass(frozen=True, slots=True)
class Ports:
    """All that the use cases need from outside.

    :ivar carrier: carries on what needs the CA's revocations.
    :ivar reserved: certnames that are never a node's: the servers' and espm's own.
    :ivar check_classes: whether unknown classes and parameters are refused.
    :ivar key_type: ``ec``, ``rsa`` or ``rsa2048``, for the keys that espm makes.
    """

    ledger: Ledger
    classifier: Classifier
    catalogue: ClassCatalogue
    ca: CertificateAuthority
    carrier: Carrier
    reserved: frozenset[str] = frozenset()
    check_classes: bool = True
    key_type: str = "ec"
