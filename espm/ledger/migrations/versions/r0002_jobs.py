"""Certificates: when they ended, and more than one of a node that is being revoked.

An agent may have its certificate renewed by Puppet (8.1 and later): then both of the same key are
to be revoked.  So only a certificate that is ordered or valid is the only one of its node.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"

_INSTANT = sa.DateTime(timezone=True)
_STANDING = sa.text("state IN ('ordered', 'valid', 'revoking')")
_USABLE = sa.text("state IN ('ordered', 'valid')")
_ENDED = sa.text("ended_at IS NOT NULL")


def upgrade() -> None:
    """Add the column, exchange the indexes."""
    op.add_column("certificates", sa.Column("ended_at", _INSTANT))
    op.drop_index("uq_certificates_standing", "certificates")
    _index("uq_certificates_usable", ["generation"], _USABLE, unique=True)
    _index("ix_certificates_standing", ["generation"], _STANDING)
    _index("ix_certificates_ended", ["ended_at"], _ENDED)


def _index(name: str, columns: list[str], where: sa.TextClause, *, unique: bool = False) -> None:
    op.create_index(
        name, "certificates", columns, unique=unique, sqlite_where=where, postgresql_where=where
    )
