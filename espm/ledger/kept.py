"""A connection to SQLite that is kept for whoever needs one next, in front of SQLAlchemy's pool.

To take one out of the pool and give it back costs more than BEGIN and COMMIT
(docs/decisions/0026-sqlite-without-detours.md).
"""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    import sqlalchemy as sa


class Kept:
    """The connection, for one thread at a time."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._connection: sa.Connection | None = None

    def take(self, seconds: float) -> sa.Connection | None:
        """Return it, which is to be given back; None where others have it for *seconds* more.

        :raises sqlalchemy.exc.DBAPIError: there is none, and none can be made.
        """
        if not self._lock.acquire(timeout=seconds):
            return None
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
        except BaseException:
            self._lock.release()
            raise
        return self._connection

    def give_back(self) -> None:
        """Let others have it; what was begun on it and is not committed is rolled back."""
        try:
            self._roll_back()
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close it, unless somebody has it.  Idempotent."""
        if self._lock.acquire(blocking=False):
            self._drop()
            self._lock.release()

    def _roll_back(self) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            if connection.in_transaction():
                connection.rollback()
            elif (driver := connection.connection.dbapi_connection) and driver.in_transaction:
                driver.rollback()
        except (DBAPIError, sqlite3.Error):
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()
