"""What became of a request that came with an ``Idempotency-Key``.

What is noted hangs on the intent that the request began, so it can't differ from what was done,
wherever espm was killed::

                 begun                 closed, something made            deleted or revoked since
    (no row) ───────────> OPEN ──────────────────────────────> STANDS ─────────────────────> GONE
        ^                  │ closed, nothing left                                             ^
        │                  v                                                                  │
        └─ the repeat ── NOTHING             OPEN, left, and a deletion took its place ───────┘
           runs anew

Where the ledger closed the intent and could not say so, what was made is taken back, and the
request has left NOTHING, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from espm.model.life import CertificateState, KeyMaker, NodeState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from espm.model.life import Certificate, IntentKind, Node


@dataclass(frozen=True, slots=True)
class ReplayKey:
    """An ``Idempotency-Key`` and where it counts: one platform, one path.

    :ivar text: as it was sent.
    """

    platform: str
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that is kept to be given again; never one with a private key.

    :ivar body: JSON text.
    """

    headers: Mapping[str, str]
    body: str


class Fate(StrEnum):
    """What became of a request; the picture is above."""

    OPEN = "open"
    NOTHING = "nothing"
    STANDS = "stands"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Replay:
    """A request that came with a key, as the ledger knows it.

    :ivar digest: SHA-256 of its body, lower-case hex.
    :ivar kind: ADD or ISSUE.
    :ivar open: whether its intent is.
    :ivar made: whether something was there when the intent was closed; None while it is open,
        and when a deletion took its place.
    :ivar node: as it is now.
    :ivar certificate: the one that the request ordered, as it is now.
    :ivar kept: the answer, if it is kept.
    """

    ident: int
    digest: str
    kind: IntentKind
    open: bool
    made: bool | None
    node: Node
    certificate: Certificate | None
    kept: Kept | None

    @property
    def fate(self) -> Fate:
        """What became of the request."""
        if self.open:
            return Fate.OPEN
        if self.made is False:
            return Fate.NOTHING
        return Fate.STANDS if self.made and self._stands else Fate.GONE

    @property
    def secret(self) -> bool:
        """Whether its answer had a private key, which nobody keeps."""
        return self.certificate is not None and self.certificate.key_maker is KeyMaker.ESPM

    @property
    def _stands(self) -> bool:
        certificate = self.certificate
        valid = certificate is None or certificate.state is CertificateState.VALID
        return valid and self.node.state is NodeState.ACTIVE
