"""Nodes, their certificates, and what espm set out to do with them.

A node::

                  POST               all done                DELETE                 proved
    (no row) ───────────> adding ───────────────> active ───────────────> deleting ───────> deleted
                            │                                                ^
                            └── it failed, or espm died: the same way back ──┘ ───────────> undone

A certificate::

                key known             signed               revoking             seen in the CRL
    (no row) ──────────────> ordered ───────────> valid ──────────────> revoking ───────> revoked
                                │
                                └── never signed ──────────────────────────────────────> void
                signed by our call, for a key that nobody ordered
    (no row) ─────────────────────────────────────────────────> revoking
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from espm.model.certname import Certname
    from espm.model.classification import Classification, Json


class NodeState(StrEnum):
    """Where a node is in its life; the picture is above."""

    ADDING = "adding"
    ACTIVE = "active"
    DELETING = "deleting"
    DELETED = "deleted"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class Node:
    """A row of the ledger: one life of one certname.

    :ivar generation: grows with every node ever added; tells two lives of one name apart.
    :ivar version: grows with every change of the classification.
    """

    generation: int
    certname: Certname
    platform: str
    state: NodeState
    version: int
    classification: Classification
    created: datetime
    updated: datetime

    @property
    def etag(self) -> str:
        """The entity tag of this generation and version, quoted."""
        return f'"{self.generation}.{self.version}"'


class CertificateState(StrEnum):
    """Where a certificate is in its life; the picture is above."""

    ORDERED = "ordered"
    VALID = "valid"
    REVOKING = "revoking"
    REVOKED = "revoked"
    VOID = "void"


class KeyMaker(StrEnum):
    """Who made the private key, and so whether a lost answer can be made good.

    What is not of espm's making is a node's, or that of a stranger who poses as one.
    """

    ESPM = "espm"
    NODE = "node"


class OrderedKey(NamedTuple):
    """The public key of a certificate that is to be ordered.

    :ivar sha256: of the DER SubjectPublicKeyInfo, lower-case hex.
    """

    sha256: str
    maker: KeyMaker


class SignedCertificate(NamedTuple):
    """A certificate that the CA has signed.

    :ivar pem: what it signed.
    :ivar by_us: whether it is known to have done so because of our very call; then its end is
        ours to see to, whatever key it is for.
    """

    pem: bytes
    by_us: bool


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate as the CA gave it.

    :ivar serial: the serial number.
    :ivar fingerprint: SHA-256 of the DER, lower-case hex.
    :ivar key_sha256: SHA-256 of the DER SubjectPublicKeyInfo, lower-case hex.
    """

    pem: str
    serial: int
    fingerprint: str
    key_sha256: str
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate we ordered, or had signed by mistake, as the ledger knows it.

    :ivar issued: None until it is signed.
    """

    ident: int
    generation: int
    key_sha256: str
    key_maker: KeyMaker
    state: CertificateState
    issued: Issued | None = None


@dataclass(frozen=True, slots=True)
class Revoked:
    """Certificates that were revoked, of which there may be thousands.

    :ivar serials: the serial numbers of all of them.
    :ivar named: they themselves, each with the name of its node, and none that was revoked later;
        read a few at a time, once.
    """

    serials: AbstractSet[int]
    named: Iterable[tuple[Certname, Certificate]]


class IntentKind(StrEnum):
    """What espm set out to do."""

    ADD = "add"
    CHANGE = "change"
    ISSUE = "issue"
    REVOKE = "revoke"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Intent:
    """A durable note of something begun; open until its last outside effect is done.

    :ivar payload: what carrying it on needs beyond the node (a new classification, say).
    :ivar attempts: how often it was tried and left.
    :ivar last_error: why it was left the last time, safe to show to the platform.
    :ivar withheld: whether who hands it over has withheld the catalogs of its node already; the
        ledger does not know that.
    :ivar keyed: whether an Idempotency-Key may be tied to it; only who began it knows that none is.
    """

    ident: str
    generation: int
    kind: IntentKind
    created: datetime
    payload: Mapping[str, Json] = field(default_factory=dict)
    attempts: int = 0
    last_error: str | None = None
    withheld: bool = False
    keyed: bool = field(default=True, compare=False)
