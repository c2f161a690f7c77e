"""The audit log and its head."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NAME = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")


def upgrade() -> None:
    """Create both; the log begins here, and does not tell what was before."""
    _create_audit()
    _create_head()


def _check(name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(name))


def _create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("number", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("certname", _NAME, nullable=False),
        sa.Column("generation", _NUMBER, nullable=False),
        sa.Column("serial", sa.String(40)),
        sa.Column("fingerprint", sa.String(64)),
        sa.Column("request_id", sa.String(64)),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
        _check("ck_audit_action", "action IN ('add', 'change', 'issue', 'revoke', 'delete')"),
        _check("ck_audit_outcome", "outcome IN ('begun', 'done', 'undone', 'void')"),
    )


def _create_head() -> None:
    head = op.create_table(
        "audit_head",
        sa.Column("ident", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("ident", name="pk_audit_head"),
        _check("ck_audit_head_single", "ident = 1"),
    )
    op.bulk_insert(head, [{"ident": 1, "number": 0, "hash": "0" * 64}])
