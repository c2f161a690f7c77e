"""The indexes of the ledger's tables, for whatever makes or compares a schema.

Whatever two espm could do at once is decided here, by unique indexes over the rows that count:
one live node for a certname, one open intent of a kind and one usable certificate for a node, one
request for an Idempotency-Key.
Every query of the ledger has its index.  Conditions of partial indexes are written with literals,
for neither database can match an index's condition with a bound parameter.

They are not beside the tables because a start need not know them: to name a condition for
PostgreSQL loads all that SQLAlchemy has for it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from espm.ledger.schema import (
    certificates,
    ended,
    intents,
    live,
    metadata,
    nodes,
    replays,
    standing,
    still_open,
    unended,
    usable,
)

__all__ = ["metadata"]


def _index(name: str, *columns: Any, where: Any, unique: bool = False) -> sa.Index:
    return sa.Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


_index("uq_nodes_live", nodes.c.certname, where=live, unique=True)
_index("ix_nodes_live", nodes.c.platform, nodes.c.certname, where=live)
_index("ix_nodes_ended", nodes.c.platform, nodes.c.certname, nodes.c.generation, where=ended)

_index("uq_certificates_usable", certificates.c.generation, where=usable, unique=True)
_index("ix_certificates_standing", certificates.c.generation, where=standing)
_index("ix_certificates_ended", certificates.c.ended_at, where=certificates.c.ended_at.is_not(None))
_index("ix_certificates_key", certificates.c.key_sha256, where=unended)
sa.Index("ix_certificates_generation", certificates.c.generation, certificates.c.ident)

_index("uq_intents_open", intents.c.generation, intents.c.kind, where=still_open, unique=True)
_index("ix_intents_lease", intents.c.lease_until, where=still_open)

sa.Index("uq_replays_key", replays.c.platform, replays.c.path, replays.c.key, unique=True)
sa.Index("uq_replays_intent", replays.c.intent, unique=True)
sa.Index("ix_replays_created", replays.c.created_at)
