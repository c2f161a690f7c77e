"""What we need of our memory for requests that may come again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from espm.model import Kept, Replay, ReplayKey
    from espm.ports.ledger import Ledger


class Replays(Protocol):
    """Which requests came with an ``Idempotency-Key``; a part of the ledger.

    A key is noted in the transaction that begins the intent of its request, and is told what
    became of that intent in the transaction that closes it.  A request that begins no intent
    leaves nothing.  After 24 hours the key is forgotten.
    """

    def noting(self, key: ReplayKey, digest: str, former: Replay | None = None) -> Ledger:
        """Return this ledger for one request: it notes *key* with the ADD or ISSUE it begins.

        Its :meth:`~espm.ports.Ledger.reserve` and :meth:`~espm.ports.Ledger.begin` also raise
        :exc:`~espm.errors.IdempotencyBusy` when the key was noted by another meanwhile.

        :param digest: SHA-256 of the request's body, lower-case hex.
        :param former: what :meth:`replay` found and this request takes the place of.
        """

    def replay(self, key: ReplayKey) -> Replay | None:
        """Return what is noted of *key*, with what became of it, as it is now."""

    def keep(self, key: ReplayKey, kept: Kept) -> None:
        """Keep the answer to the request that made something under *key*.

        Never one with a private key.  Does nothing when no such request is noted.
        """
