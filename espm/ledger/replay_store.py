"""The part of the ledger's port that is about Idempotency-Keys, transaction by transaction."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Self

from espm.ledger import replays, rows
from espm.ledger.claims import now
from espm.ledger.engine import reading
from espm.ledger.replays import Mark

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import sqlalchemy as sa

    from espm.model import Certificate, Intent, Kept, Replay, ReplayKey


class SqlReplays:
    """:class:`espm.ports.Replays`, for the ledger that is made of it."""

    _engine: sa.Engine
    _mark: Mark | None = None

    def _writing(self) -> AbstractContextManager[sa.Connection]:
        """Return a transaction that may write; the ledger's."""
        raise NotImplementedError

    def noting(self, key: ReplayKey, digest: str, former: Replay | None = None) -> Self:
        """See :meth:`espm.ports.Replays.noting`."""
        view = copy(self)
        view._mark = Mark(key, digest, None if former is None else former.ident)  # noqa: SLF001
        return view

    def _note(
        self, connection: sa.Connection, intent: Intent, ordered: Certificate | None = None
    ) -> None:
        """Note the key of *intent*, which was just begun, if there is one.

        :param ordered: the certificate that was ordered under it in the same moment.
        """
        if self._mark is None:
            return
        replays.note(connection, self._mark, intent, now())
        if ordered is not None:
            replays.tie(connection, intent, ordered)

    def replay(self, key: ReplayKey) -> Replay | None:
        """See :meth:`espm.ports.Replays.replay`."""
        with reading(self._engine) as connection:
            row = connection.execute(replays.find(key, now())).mappings().first()
            return rows.replay(row) if row else None

    def keep(self, key: ReplayKey, kept: Kept) -> None:
        """See :meth:`espm.ports.Replays.keep`."""
        with self._writing() as connection:
            connection.execute(replays.keep(key, kept))
