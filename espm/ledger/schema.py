"""The tables of the ledger, on SQLite and PostgreSQL alike.

::

    nodes          one row for each life of a certname; rows of ended lives stay as history
      ^   ^
      |   +------- certificates   what we ordered for it, noted before the CA hears of it
      +----------- intents        what we set out to do with it, open until done
                      ^
                      +--- replays    which of them began with an Idempotency-Key
    pulse          one row that is written to prove that the ledger can be written
    audit          who did what: rows that are only ever added, each with a hash over the last
    audit_head     one row: number and hash of the last

Whatever two espm could do at once is decided by unique indexes, in :mod:`espm.ledger.indexes`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from espm.model import CERTNAME_LENGTH, CertificateState, IntentKind, KeyMaker, NodeState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Instant(sa.types.TypeDecorator[datetime]):
    """A moment in UTC: ``timestamptz`` on PostgreSQL, sortable text on SQLite."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[datetime | None], Any] | None:
        """Return what makes the driver's value of a moment.

        For SQLite its text at once, as SQLAlchemy writes it: a launch has eight of them.
        """
        return _text if dialect.name == "sqlite" else super().bind_processor(dialect)

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return *value* in UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Return *value* as an aware datetime in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


def _text(value: datetime | None) -> str | None:
    """Return *value* as SQLite has it: in UTC, with no room for a zone."""
    if value is None:
        return None
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


# SQLite numbers rows by itself only in a column of type INTEGER.
_Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# Names sort by bytes on both databases, whatever the locale of the PostgreSQL database.
_Name = sa.String(CERTNAME_LENGTH).with_variant(
    sa.String(CERTNAME_LENGTH, collation="C"), "postgresql"
)
_Sha256 = sa.String(64)

#: What the tables below are called among the revisions of :mod:`espm.ledger.migrations`.
REVISION = "0006"

USABLE = (CertificateState.ORDERED, CertificateState.VALID)
STANDING = (*USABLE, CertificateState.REVOKING)
# Done: whoever claimed it brought it to its end.  Undone: an ADD or CHANGE was taken back.
OUTCOMES = ("done", "undone", "superseded")
# Begun: espm carries it on until it is done.  Void: a certificate that was never signed.
AUDIT_OUTCOMES = ("begun", "done", "undone", "void")


def among(column: sa.Column[str], values: Iterable[str]) -> sa.ColumnElement[bool]:
    """Return the condition that *column* is one of *values*, written with literals."""
    return column.in_([sa.literal_column(f"'{value}'", sa.String()) for value in values])


def _one_of(column: str, values: Iterable[str]) -> sa.CheckConstraint:
    allowed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({allowed})", name=column)


metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

nodes = sa.Table(
    "nodes",
    metadata,
    sa.Column("generation", _Number, primary_key=True),
    sa.Column("certname", _Name, nullable=False),
    sa.Column("platform", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("classification", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    _one_of("state", NodeState),
    sa.CheckConstraint("version > 0", name="version"),
    sqlite_autoincrement=True,
)
# Not by the state: an index whose condition names that is written whenever it changes.
live = nodes.c.ended_at.is_(None)
ended = nodes.c.ended_at.is_not(None)

certificates = sa.Table(
    "certificates",
    metadata,
    sa.Column("ident", _Number, primary_key=True),
    sa.Column("generation", _Number, sa.ForeignKey(nodes.c.generation), nullable=False),
    sa.Column("key_sha256", _Sha256, nullable=False),
    sa.Column("key_maker", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    # Hexadecimal: serial numbers have up to 160 bits (RFC 5280, 4.1.2.2).
    sa.Column("serial", sa.String(40)),
    sa.Column("fingerprint", _Sha256),
    sa.Column("pem", sa.Text),
    sa.Column("not_before", Instant),
    sa.Column("not_after", Instant),
    # When it was proved revoked, or found never to have been signed.
    sa.Column("ended_at", Instant),
    _one_of("key_maker", KeyMaker),
    _one_of("state", CertificateState),
    sa.CheckConstraint(
        "(state IN ('ordered', 'void')) = (serial IS NULL) "
        "AND (serial IS NULL) = (fingerprint IS NULL) "
        "AND (serial IS NULL) = (pem IS NULL) "
        "AND (serial IS NULL) = (not_before IS NULL) "
        "AND (serial IS NULL) = (not_after IS NULL)",
        name="issued",
    ),
    sqlite_autoincrement=True,
)
standing = among(certificates.c.state, STANDING)
usable = among(certificates.c.state, USABLE)
# All that is usable, and what was declined, which has no end.
unended = certificates.c.ended_at.is_(None)

intents = sa.Table(
    "intents",
    metadata,
    sa.Column("number", _Number, primary_key=True),
    sa.Column("ident", sa.String(32), nullable=False, unique=True),
    sa.Column("generation", _Number, sa.ForeignKey(nodes.c.generation), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("last_error", sa.Text),
    sa.Column("owner", sa.Text),
    sa.Column("lease_until", Instant, nullable=False),
    sa.Column("request_id", sa.String(64), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("closed_at", Instant),
    sa.Column("outcome", sa.String(16)),
    _one_of("kind", IntentKind),
    _one_of("outcome", OUTCOMES),
    sa.CheckConstraint("(closed_at IS NULL) = (outcome IS NULL)", name="closed"),
    sqlite_autoincrement=True,
)
still_open = intents.c.closed_at.is_(None)

replays = sa.Table(
    "replays",
    metadata,
    sa.Column("ident", _Number, primary_key=True),
    sa.Column("platform", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("key", sa.String(255), nullable=False),
    sa.Column("digest", _Sha256, nullable=False),
    sa.Column("intent", sa.String(32), sa.ForeignKey(intents.c.ident), nullable=False),
    sa.Column("certificate", _Number, sa.ForeignKey(certificates.c.ident)),
    sa.Column("made", sa.Boolean),
    sa.Column("headers", sa.Text),
    sa.Column("body", sa.Text),
    sa.Column("created_at", Instant, nullable=False),
    sa.CheckConstraint("(headers IS NULL) = (body IS NULL)", name="kept"),
    # A number that is used again could pass for the row that had it before.
    sqlite_autoincrement=True,
)

pulse = sa.Table(
    "pulse",
    metadata,
    sa.Column("ident", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("beaten_at", Instant, nullable=False),
    sa.CheckConstraint("ident = 1", name="single"),
)

# No foreign keys: what was told stays told, whatever becomes of the rows that it tells of.
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("number", _Number, primary_key=True, autoincrement=False),
    # As text, just as it was hashed.
    sa.Column("at", sa.String(27), nullable=False),
    sa.Column("platform", sa.Text, nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("certname", _Name, nullable=False),
    sa.Column("generation", _Number, nullable=False),
    sa.Column("serial", sa.String(40)),
    sa.Column("fingerprint", _Sha256),
    sa.Column("request_id", sa.String(64)),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("hash", _Sha256, nullable=False),
    _one_of("action", IntentKind),
    _one_of("outcome", AUDIT_OUTCOMES),
)

audit_head = sa.Table(
    "audit_head",
    metadata,
    sa.Column("ident", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", _Number, nullable=False),
    sa.Column("hash", _Sha256, nullable=False),
    sa.CheckConstraint("ident = 1", name="single"),
)
