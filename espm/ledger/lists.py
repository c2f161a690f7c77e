"""Conditions on a list that is one parameter: one statement for lists of every length.

SQLAlchemy's ``in_`` makes a statement for each length, which the database prepares and keeps, in
SQLite 10 to 20 KB each for some names, 105 KB for five hundred.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from espm.ledger import rows

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.sql.compiler import SQLCompiler


class _Values(sa.types.TypeDecorator["Collection[Any]"]):
    """The values of a list: an array in PostgreSQL, JSON in SQLite.

    :param item: the type of each, which JSON must have as well.
    """

    impl = sa.Text
    cache_ok = True

    def __init__(self, item: type[sa.types.TypeEngine[Any]]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Return what the database has for them."""
        whole = sa.ARRAY(self.item) if dialect.name == "postgresql" else sa.Text()
        return dialect.type_descriptor(whole)

    def process_bind_param(self, value: Collection[Any] | None, dialect: sa.Dialect) -> Any:
        """Return them as the driver takes them."""
        values = list(value or ())
        return values if dialect.name == "postgresql" else rows.dump(values)


class _AmongValues(FunctionElement[bool]):
    """The condition that its first part is one of the values that its second is."""

    type = sa.Boolean()
    inherit_cache = True

    def self_group(self, against: object = None) -> Self:  # noqa: ARG002 - SQLAlchemy's signature
        """Return it as it is: in SQLite, which has no booleans, others are compared with 1."""
        return self


@compiles(_AmongValues, "sqlite")
def _in_sqlite(element: _AmongValues, compiler: SQLCompiler, **how: Any) -> str:
    column, values = element.clauses
    each = sa.func.json_each(values).table_valued("value")
    return compiler.process(column.in_(sa.select(each.c.value)), **how)


@compiles(_AmongValues, "postgresql")
def _in_postgresql(element: _AmongValues, compiler: SQLCompiler, **how: Any) -> str:
    column, values = element.clauses
    return compiler.process(column == sa.any_(values), **how)


def listed(column: sa.Column[Any], name: str) -> sa.ColumnElement[bool]:
    """Return the condition that *column* is one of the values of the parameter *name*, a list."""
    item = sa.Text if isinstance(column.type, sa.String) else sa.BigInteger
    return _AmongValues(column, sa.bindparam(name, type_=_Values(item)))
