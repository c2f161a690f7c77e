"""Idempotency-Keys and what became of the requests that came with them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table of the keys."""
    op.create_table(
        "replays",
        sa.Column("ident", _NUMBER, nullable=False),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("intent", sa.String(32), nullable=False),
        sa.Column("certificate", _NUMBER),
        sa.Column("made", sa.Boolean),
        sa.Column("headers", sa.Text),
        sa.Column("body", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("ident", name="pk_replays"),
        sa.ForeignKeyConstraint(["intent"], ["intents.ident"], name="fk_replays_intent"),
        sa.ForeignKeyConstraint(
            ["certificate"], ["certificates.ident"], name="fk_replays_certificate"
        ),
        sa.CheckConstraint("(headers IS NULL) = (body IS NULL)", name=op.f("ck_replays_kept")),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_replays_key", "replays", ["platform", "path", "key"], unique=True)
    op.create_index("uq_replays_intent", "replays", ["intent"], unique=True)
    op.create_index("ix_replays_created", "replays", ["created_at"])
