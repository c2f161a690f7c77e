"""Run by Alembic for every command; :mod:`espm.ledger.upgrades` hands over the connection."""

from __future__ import annotations

from alembic import context

from espm.ledger.indexes import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    # The connection's transaction is opened by BEGIN IMMEDIATE, so SQLite too rolls back DDL.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
