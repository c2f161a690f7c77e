"""A few connections to SQLite that are kept for whoever needs one next, in place of a pool.

To take one out of a pool of SQLAlchemy and give it back costs more than BEGIN and COMMIT
(docs/decisions/0026-sqlite-without-detours.md).
"""

from __future__ import annotations

import sqlite3
from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

if TYPE_CHECKING:
    import sqlalchemy as sa


class Few:
    """The connections; each is one thread's at a time, the one that was used last goes first.

    :param number: how many there may be.
    """

    def __init__(self, engine: sa.Engine, number: int) -> None:
        self._engine = engine
        self._free: deque[sa.Connection] = deque()
        self._taken: dict[sa.Connection, int] = {}
        self._closed = 0
        self._places: SimpleQueue[None] = SimpleQueue()
        for _ in range(number):
            self._places.put(None)

    def take(self, seconds: float) -> sa.Connection:
        """Return one, which is to be given back.

        :raises sqlalchemy.exc.TimeoutError: others have had all of them for so many *seconds*.
        :raises sqlalchemy.exc.DBAPIError: there is none, and none can be made.
        """
        try:
            self._places.get(timeout=seconds)
        except Empty:
            raise PoolTimeout from None
        try:
            connection = self._next()
            self._taken[connection] = self._closed
        except BaseException:
            self._places.put(None)
            raise
        return connection

    def give_back(self, connection: sa.Connection) -> None:
        """Let others have it; what was begun on it and is not committed is rolled back."""
        try:
            since = self._taken.pop(connection)
            if _rolled_back(connection) and since == self._closed:
                self._free.append(connection)
            else:
                _drop(connection)
        finally:
            self._places.put(None)

    def close(self) -> None:
        """Close those that nobody has, and let the others be closed when they are given back."""
        self._closed += 1
        while self._free:
            _drop(self._free.pop())

    def _next(self) -> sa.Connection:
        try:
            return self._free.pop()
        except IndexError:
            return self._engine.connect()


def _rolled_back(connection: sa.Connection) -> bool:
    """Return whether the connection is in no transaction any more."""
    try:
        if connection.in_transaction():
            connection.rollback()
        elif (driver := connection.connection.dbapi_connection) and driver.in_transaction:
            driver.rollback()
    except (DBAPIError, sqlite3.Error):
        return False
    return True


def _drop(connection: sa.Connection) -> None:
    connection.invalidate()
    connection.close()
