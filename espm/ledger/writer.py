"""The transactions of the ledger that write: what each of them does besides its own work."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from espm.errors import BackendUnavailable
from espm.ledger import audit, claims
from espm.ledger.claims import now
from espm.ledger.owed import Owed
from espm.ledger.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

    from espm.ledger.claims import Claimant
    from espm.model import Intent


class Writer(Reader):
    """Transactions that write, for the ledger that is made of it."""

    def __init__(self, engine: sa.Engine, claimant: Claimant) -> None:
        super().__init__(engine)
        self._claimant = claimant
        self._owed = Owed()
        self._known = audit.Known()

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """Yield a transaction that also writes what earlier ones could not."""
        owed = self._owed.all()
        with audit.writing(self._engine, self._known) as connection:
            for parting in owed:
                claims.leave(connection, self._claimant, parting)
            yield connection
        self._owed.drop(owed)

    @contextmanager
    def _claiming(self) -> Iterator[tuple[sa.Connection, list[Intent]]]:
        """Yield a transaction, and a list for the intents that are claimed in it.

        A database that breaks off while it commits may have done so.  The caller is told that
        nothing happened, so the claims are given up, should they stand.
        """
        claimed: list[Intent] = []
        try:
            with self._writing() as connection:
                yield connection, claimed
        except BackendUnavailable as error:
            for intent in claimed:
                self._owed.add(claims.Parting(intent, str(error), now()))
            raise
