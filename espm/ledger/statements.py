"""Statements that SQLite's own driver is given, without what SQLAlchemy does around each.

A launch writes the ledger right before and right after it has waited for the CA, when the caches of
the processor hold none of espm.  What SQLAlchemy does then to run a statement takes twice as long
as the statement (docs/decisions/0026-sqlite-without-detours.md).  So SQLAlchemy compiles it
once; its text and the types of its parameters and columns are kept here.  PostgreSQL's statements
have to travel anyhow, and are run by SQLAlchemy.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import sqlalchemy as sa
    from sqlalchemy.sql.dml import UpdateBase

    Convert = Callable[[Any], Any]

T = TypeVar("T")


class _Text(NamedTuple):
    """A statement as the driver takes it.

    :ivar given: of each parameter that needs it its name, and what makes the driver's value of it.
    :ivar fixed: those that always have the same value.
    :ivar found: of each column that needs it its place, and what makes our value of the driver's.
    """

    text: str
    given: Sequence[tuple[str, Convert]]
    fixed: dict[str, Any]
    found: Sequence[tuple[int, Convert]]

    def parameters(self, values: Mapping[str, Any]) -> dict[str, Any]:
        known = {**self.fixed, **values}
        for name, convert in self.given:
            known[name] = convert(known[name])
        return known

    def ours(self, row: Sequence[Any]) -> Sequence[Any]:
        whole = list(row)
        for place, convert in self.found:
            whole[place] = convert(whole[place])
        return whole


class Statement:
    """A statement that is run often, on SQLite or PostgreSQL; for any number of threads.

    It raises what :meth:`sqlalchemy.Connection.execute` does.

    :ivar source: what SQLAlchemy compiles.
    """

    def __init__(self, source: sa.Select[Any] | UpdateBase) -> None:
        self.source = source
        self._texts: dict[tuple[str, ...], _Text] = {}

    def rows(self, connection: sa.Connection, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """Run it with *values* by the names of parameters, and return the rows that it returns."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self.source, values).all()
        text = self._text(connection, values)
        found, _ = run(connection, text.text, text.parameters(values))
        return [text.ours(row) for row in found] if text.found else found

    def first(self, connection: sa.Connection, values: Mapping[str, Any]) -> Sequence[Any] | None:
        """Run it, and return the first of the rows that it returns; None where there is none."""
        found = self.rows(connection, values)
        return found[0] if found else None

    def changed(self, connection: sa.Connection, values: Mapping[str, Any]) -> int:
        """Run it, which returns no rows, and return how many it has changed."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self.source, values).rowcount
        text = self._text(connection, values)
        return run(connection, text.text, text.parameters(values))[1]

    def each(self, connection: sa.Connection, many: Sequence[Mapping[str, Any]]) -> None:
        """Run it for each of *many*, one at least, which name the same parameters."""
        if connection.dialect.name != "sqlite":
            connection.execute(self.source, many)
            return
        text = self._text(connection, many[0])
        run(connection, text.text, [text.parameters(values) for values in many], many=True)

    def _text(self, connection: sa.Connection, values: Mapping[str, Any]) -> _Text:
        names = tuple(values)
        text = self._texts.get(names)
        if text is None:
            text = self._texts[names] = _compile(self.source, connection.dialect, names)
        return text


def run(
    connection: sa.Connection, text: str, parameters: Any = (), *, many: bool = False
) -> tuple[list[Sequence[Any]], int]:
    """Have SQLite's driver run *text*; return the rows that it returns, or how many it has changed.

    :param parameters: by their names.
    :param many: whether *parameters* are a list of such, and it is run for each.
    :raises sqlalchemy.exc.DBAPIError: as when SQLAlchemy runs it.
    """
    driver: Any = connection.connection.dbapi_connection
    try:
        cursor = (driver.executemany if many else driver.execute)(text, parameters)
        # Not outside: a row is looked for and read only now.
        return cursor.fetchall(), cursor.rowcount
    except sqlite3.Error as error:
        raise _as_told(connection, text, error) from error


def commit(connection: sa.Connection) -> None:
    """Commit what was begun by :func:`run`.

    :raises sqlalchemy.exc.DBAPIError: as when SQLAlchemy commits.
    """
    try:
        connection.dialect.do_commit(connection.connection)
    except sqlite3.Error as error:
        raise _as_told(connection, "COMMIT", error) from error


def _as_told(connection: sa.Connection, text: str, error: sqlite3.Error) -> BaseException:
    """Return what SQLAlchemy raises for *error*."""
    return DBAPIError.instance(text, None, error, sqlite3.Error, dialect=connection.dialect)


def _compile(
    source: sa.Select[Any] | UpdateBase, dialect: sa.Dialect, names: Sequence[str]
) -> _Text:
    compiled: Any = source.compile(dialect=dialect, column_keys=list(names))
    fixed = compiled.construct_params(dict.fromkeys(names))  # raises where a name is missing
    kinds = {name: bind.type.dialect_impl(dialect) for bind, name in compiled.bind_names.items()}
    given = _needed((name, kind.bind_processor(dialect)) for name, kind in kinds.items())
    types = [column.type.dialect_impl(dialect) for column in source.exported_columns]
    found = _needed(enumerate(kind.result_processor(dialect, None) for kind in types))
    return _Text(compiled.string, given, fixed, found)


def _needed(converts: Iterable[tuple[T, Convert | None]]) -> list[tuple[T, Convert]]:
    """Return those of *converts* that convert anything."""
    return [(of, convert) for of, convert in converts if convert]
