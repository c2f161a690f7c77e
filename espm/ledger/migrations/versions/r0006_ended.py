"""When a life ended, by which indexes tell the live ones.

An index whose condition names the state of a row is written whenever the state changes, also where
the row stays in it: a launch wrote three of them twice.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"

_LIVE = sa.text("ended_at IS NULL")
_ENDED = sa.text("ended_at IS NOT NULL")


def upgrade() -> None:
    """Add the column to nodes, and exchange the indexes that named the state."""
    op.add_column("nodes", sa.Column("ended_at", sa.DateTime(timezone=True)))
    # Before all of history is written, each row of which would be written into an index as well.
    for name in ("uq_nodes_live", "ix_nodes_live", "ix_nodes_ended"):
        op.drop_index(name, "nodes")
    op.execute("UPDATE nodes SET ended_at = updated_at WHERE state IN ('deleted', 'undone')")
    _index("uq_nodes_live", "nodes", ["certname"], _LIVE, unique=True)
    _index("ix_nodes_live", "nodes", ["platform", "certname"], _LIVE)
    _index("ix_nodes_ended", "nodes", ["platform", "certname", "generation"], _ENDED)
    op.drop_index("ix_certificates_key", "certificates")
    _index("ix_certificates_key", "certificates", ["key_sha256"], _LIVE)


def _index(
    name: str, table: str, columns: list[str], where: sa.TextClause, *, unique: bool = False
) -> None:
    op.create_index(name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where)
