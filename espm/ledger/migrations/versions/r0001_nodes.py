"""Nodes, their certificates and intents, and the pulse."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NAME = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")
_INSTANT = sa.DateTime(timezone=True)

_LIVE = sa.text("state IN ('adding', 'active', 'deleting')")
_ENDED = sa.text("state IN ('deleted', 'undone')")
_STANDING = sa.text("state IN ('ordered', 'valid', 'revoking')")
_OPEN = sa.text("closed_at IS NULL")

_ISSUED = (
    "(state IN ('ordered', 'void')) = (serial IS NULL) "
    "AND (serial IS NULL) = (fingerprint IS NULL) "
    "AND (serial IS NULL) = (pem IS NULL) "
    "AND (serial IS NULL) = (not_before IS NULL) "
    "AND (serial IS NULL) = (not_after IS NULL)"
)


def upgrade() -> None:
    """Create everything."""
    _create_nodes()
    _create_certificates()
    _create_intents()
    _create_pulse()


def _index(
    name: str, table: str, columns: list[str], where: sa.TextClause, *, unique: bool = False
) -> None:
    op.create_index(name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where)


def _check(name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(name))


def _belongs_to_node(table: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_generation"
    return sa.ForeignKeyConstraint(["generation"], ["nodes.generation"], name=name)


def _create_nodes() -> None:
    op.create_table(
        "nodes",
        sa.Column("generation", _NUMBER, nullable=False),
        sa.Column("certname", _NAME, nullable=False),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("classification", sa.Text, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("generation", name="pk_nodes"),
        _check("ck_nodes_state", "state IN ('adding', 'active', 'deleting', 'deleted', 'undone')"),
        _check("ck_nodes_version", "version > 0"),
        sqlite_autoincrement=True,
    )
    _index("uq_nodes_live", "nodes", ["certname"], _LIVE, unique=True)
    _index("ix_nodes_live", "nodes", ["platform", "certname"], _LIVE)
    _index("ix_nodes_ended", "nodes", ["platform", "certname", "generation"], _ENDED)


def _create_certificates() -> None:
    op.create_table(
        "certificates",
        sa.Column("ident", _NUMBER, nullable=False),
        sa.Column("generation", _NUMBER, nullable=False),
        sa.Column("key_sha256", sa.String(64), nullable=False),
        sa.Column("key_maker", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("serial", sa.String(40)),
        sa.Column("fingerprint", sa.String(64)),
        sa.Column("pem", sa.Text),
        sa.Column("not_before", _INSTANT),
        sa.Column("not_after", _INSTANT),
        sa.PrimaryKeyConstraint("ident", name="pk_certificates"),
        _belongs_to_node("certificates"),
        _check("ck_certificates_key_maker", "key_maker IN ('espm', 'node')"),
        _check(
            "ck_certificates_state", "state IN ('ordered', 'valid', 'revoking', 'revoked', 'void')"
        ),
        _check("ck_certificates_issued", _ISSUED),
        sqlite_autoincrement=True,
    )
    _index("uq_certificates_standing", "certificates", ["generation"], _STANDING, unique=True)
    op.create_index("ix_certificates_generation", "certificates", ["generation", "ident"])


def _create_intents() -> None:
    op.create_table(
        "intents",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("ident", sa.String(32), nullable=False),
        sa.Column("generation", _NUMBER, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("owner", sa.Text),
        sa.Column("lease_until", _INSTANT, nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("closed_at", _INSTANT),
        sa.Column("outcome", sa.String(16)),
        sa.PrimaryKeyConstraint("number", name="pk_intents"),
        _belongs_to_node("intents"),
        _check("ck_intents_kind", "kind IN ('add', 'change', 'issue', 'revoke', 'delete')"),
        _check("ck_intents_outcome", "outcome IN ('done', 'undone', 'superseded')"),
        _check("ck_intents_closed", "(closed_at IS NULL) = (outcome IS NULL)"),
        sa.UniqueConstraint("ident", name="uq_intents_ident"),
        sqlite_autoincrement=True,
    )
    _index("uq_intents_open", "intents", ["generation", "kind"], _OPEN, unique=True)
    _index("ix_intents_lease", "intents", ["lease_until"], _OPEN)


def _create_pulse() -> None:
    pulse = op.create_table(
        "pulse",
        sa.Column("ident", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("beaten_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("ident", name="pk_pulse"),
        _check("ck_pulse_single", "ident = 1"),
    )
    op.bulk_insert(pulse, [{"ident": 1, "beaten_at": datetime.now(UTC)}])
