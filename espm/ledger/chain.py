"""The audit log as others look at it: read while espm goes on writing, and followed row by row.

A chain is whole when its rows are numbered from 1 without a gap, when each has the hash of its
fields and of the row before, and when the head is the last.  Whoever can write into the database
can make another chain that is whole; it does not have the heads that were logged, so one of those
tells both that and a chain whose end was cut off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from espm.ledger.audit import GENESIS, Row, canonical, digest
from espm.ledger.engine import reading
from espm.ledger.schema import audit, audit_head

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

# How many rows one transaction reads, so that none stays open for long.
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Head:
    """A place in the chain: number and hash of a row.

    :ivar number: None where only the hash is known.
    """

    number: int | None
    hash: str

    def __str__(self) -> str:
        return self.hash if self.number is None else f"{self.number}:{self.hash}"

    def is_at(self, number: int, hash_: str) -> bool:
        """Return whether the row of that number and hash is the one that this names."""
        return self.hash == hash_ and self.number in {None, number}


class Chain:
    """The audit log of a ledger."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", _take_any_text)
            engine.dispose()  # For there may be a connection already.

    def ends(self) -> tuple[int, Head | None]:
        """Return the number of the last row and the head, None if somebody removed it."""
        number = sa.select(audit_head.c.number).scalar_subquery()
        hash_ = sa.select(audit_head.c.hash).scalar_subquery()
        # One statement sees one moment, while espm goes on adding rows.
        query = sa.select(sa.func.max(audit.c.number), number, hash_)
        with reading(self._engine) as connection:
            end, *head = connection.execute(query).one()
        return end or 0, None if head[0] is None else Head(*head)

    def rows(self, *, after: int | None = None, until: int | None = None) -> Iterator[Row]:
        """Yield the rows in their order, those behind number *after* and up to *until*."""
        reached = sa.true() if until is None else audit.c.number <= until
        while batch := self._batch(reached, after):
            yield from batch
            after = batch[-1]["number"]

    def _batch(self, reached: sa.ColumnElement[bool], after: int | None) -> list[Row]:
        query = sa.select(audit).where(reached).order_by(audit.c.number).limit(_BATCH)
        if after is not None:
            query = query.where(audit.c.number > after)
        with reading(self._engine) as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def export(self, after: int = 0) -> Iterator[bytes]:
        """Yield the rows behind number *after* as JSON, each with its hash and the one before."""
        previous = self._hash_at(after)
        for row in self.rows(after=after):
            yield canonical({**row, "previous": previous})
            previous = row["hash"]

    def _hash_at(self, number: int) -> str:
        query = sa.select(audit.c.hash).where(audit.c.number <= number)
        query = query.order_by(audit.c.number.desc()).limit(1)
        with reading(self._engine) as connection:
            return connection.execute(query).scalar() or GENESIS


def fault(rows: Iterable[Row], head: Head | None, logged: Head | None = None) -> str | None:
    """Return what is wrong with a chain, at the first row that does not fit; None if it is whole.

    :param rows: all of it.
    :param head: where it should end.
    :param logged: a head that was logged, to be found in it.
    """
    number, hash_, met = 0, GENESIS, logged is None
    for row in rows:
        if misfit := _misfit(row, number, hash_):
            return misfit
        number, hash_ = row["number"], row["hash"]
        met = met or (logged is not None and logged.is_at(number, hash_))
    if loose := _loose_end(number, hash_, head):
        return loose
    return None if met else _lost(logged, number)


def _misfit(row: Row, number: int, previous: str) -> str | None:
    """Return why *row* can't come behind that of *number* with the hash *previous*."""
    found = row["number"]
    if found > number + 1:
        return f"row {number + 1} is missing: row {found} comes behind row {number}"
    if found != number + 1:
        return f"row {found} does not belong to it: the first row is number 1"
    if row["hash"] != digest(row, previous):
        what = f"row {found} ({row['action']} of {row['certname']})"
        return f"{what} does not fit: it was changed, or it was not written behind row {number}"
    return None


def _loose_end(number: int, hash_: str, head: Head | None) -> str | None:
    """Return why a chain that ends at *number* with *hash_* does not end at its head."""
    if head is None:
        return f"the head is missing; the last row is number {number}"
    if head.is_at(number, hash_):
        return None
    end = head.number or 0
    if number < end:
        return f"row {number + 1} is missing: the head is row {end}"
    if number > end:
        return f"row {end + 1} is not covered by the head, which is row {end}"
    return f"row {number} is not the head: it has another hash"


def _lost(logged: Head | None, number: int) -> str:
    why = "the end of the log was cut off, or it was written anew"
    return f"the head {logged}, which was logged, is not among its {number} rows: {why}"


def _take_any_text(dbapi: sqlite3.Connection, *_record: object) -> None:
    """Let text that is no UTF-8 be read, for a row with such text is one that was changed."""
    dbapi.text_factory = lambda raw: raw.decode(errors="backslashreplace")
