"""What the dashboard stand-in keeps: nodes, groups, classes and parameters in SQLite.

Names are compared as the MySQL of the real dashboard compares them, without case (reference
facts on old Puppet, 3.3).  The tables are of our own make; nobody else reads them.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_SCHEMA = """
CREATE TABLE nodes (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE UNIQUE);
CREATE TABLE groups (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE UNIQUE);
CREATE TABLE classes (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE UNIQUE);
CREATE TABLE members (owner TEXT, owner_id INTEGER, kind TEXT, member_id INTEGER);
CREATE TABLE parameters (
  id INTEGER PRIMARY KEY, owner TEXT, owner_id INTEGER, key TEXT, value TEXT
);
"""

_CHANGE = "UPDATE parameters SET value = ? WHERE owner = ? AND owner_id = ? AND key = ?"
_INSERT = "INSERT INTO parameters (value, owner, owner_id, key) VALUES (?, ?, ?, ?)"


class Row(NamedTuple):
    """A row of ``nodes``, ``groups`` or ``classes``, and in which of them it is."""

    table: str
    ident: int
    name: str


class Store:
    """The database behind the tasks and the ENC; every method is one transaction.

    :param path: the SQLite file; made by :meth:`create`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self) -> None:
        """Make the tables."""
        with self._open() as database, database:
            database.executescript(_SCHEMA)

    def find(self, table: str, name: str) -> Row | None:
        """Return the row of that name, whatever the case of its letters."""
        found = self._rows(table, "WHERE name = ?", name)
        return found[0] if found else None

    def all(self, table: str, order: str) -> list[Row]:
        """Return every row of *table*, ordered by a column."""
        return self._rows(table, f"ORDER BY {order}")

    def add(self, table: str, name: str) -> Row:
        """Add a row and return it."""
        with self._open() as database, database:
            cursor = database.execute(f"INSERT INTO {table} (name) VALUES (?)", (name,))
            return Row(table, cursor.lastrowid or 0, name)

    def remove(self, row: Row) -> None:
        """Remove a row with its memberships and parameters."""
        owner, kind = (row.table, row.ident), (row.ident, row.table)
        with self._open() as database, database:
            database.execute(f"DELETE FROM {row.table} WHERE id = ?", (row.ident,))
            database.execute("DELETE FROM members WHERE owner = ? AND owner_id = ?", owner)
            database.execute("DELETE FROM members WHERE member_id = ? AND kind = ?", kind)
            database.execute("DELETE FROM parameters WHERE owner = ? AND owner_id = ?", owner)

    def members(self, owner: Row, table: str) -> list[Row]:
        """Return the rows of *table* that belong to *owner*, as they were put there."""
        query = (
            f"JOIN members ON members.member_id = {table}.id AND members.kind = ?"
            " WHERE members.owner = ? AND members.owner_id = ? ORDER BY members.rowid"
        )
        return self._rows(table, query, table, owner.table, owner.ident)

    def replace_members(self, owner: Row, table: str, members: Iterable[Row]) -> None:
        """Have exactly *members* of *table* belong to *owner*."""
        key = (owner.table, owner.ident, table)
        with self._open() as database, database:
            database.execute(
                "DELETE FROM members WHERE owner = ? AND owner_id = ? AND kind = ?", key
            )
            rows = [(*key, member.ident) for member in members]
            database.executemany("INSERT INTO members VALUES (?, ?, ?, ?)", rows)

    def parameters(self, owner: Row) -> list[tuple[str, str]]:
        """Return every parameter row of *owner*, oldest first; a key may be there twice."""
        with self._open() as database:
            return database.execute(
                "SELECT key, value FROM parameters WHERE owner = ? AND owner_id = ? ORDER BY id",
                (owner.table, owner.ident),
            ).fetchall()

    def set_parameters(self, owner: Row, given: Mapping[str, str], *, replace: bool) -> None:
        """Add parameters; with *replace*, those whose key is there are changed instead."""
        for key, value in given.items():
            place = (value, owner.table, owner.ident, key)
            with self._open() as database, database:
                if not (replace and database.execute(_CHANGE, place).rowcount):
                    database.execute(_INSERT, place)

    def _rows(self, table: str, rest: str, *values: object) -> list[Row]:
        with self._open() as database:
            found = database.execute(f"SELECT {table}.id, name FROM {table} {rest}", values)
            return [Row(table, *row) for row in found]

    def _open(self) -> closing[sqlite3.Connection]:
        database = sqlite3.connect(self._path, timeout=60)
        # Nobody needs this database after a crash of the machine.
        database.execute("PRAGMA synchronous = OFF")
        return closing(database)
