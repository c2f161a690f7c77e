"""An index by which another order of the same key is found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"

_USABLE = sa.text("state IN ('ordered', 'valid')")


def upgrade() -> None:
    """Create the index; each settled certificate had all that stand read before."""
    op.create_index(
        "ix_certificates_key",
        "certificates",
        ["key_sha256"],
        sqlite_where=_USABLE,
        postgresql_where=_USABLE,
    )
