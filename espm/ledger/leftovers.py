"""What nobody works on any more: found, and claimed by whoever carries it on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from espm.ledger import claims, rows
from espm.ledger.schema import intents, nodes, still_open
from espm.ledger.statements import Statement

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from espm.model import Intent, IntentKind, Node

# Due whatever the clock says, also when it is set back.
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

# Nothing is left for longer than this, so what seems due later was left by another clock.
_LONGEST = timedelta(hours=1)

_STOPPED = "espm stopped while it worked on this"

_LEAVE_OTHERS = intents.update().where(intents.c.owner != sa.bindparam("by"), still_open)
_LEAVE_OTHERS = _LEAVE_OTHERS.values(claims.GIVEN_UP)

_DUE = sa.or_(
    intents.c.lease_until <= sa.bindparam("now"),
    sa.and_(intents.c.owner.is_(None), intents.c.lease_until > sa.bindparam("other_clock")),
)
#: The intent that is due first, if any is.
NEXT = Statement(
    sa.select(intents.c.number).where(still_open, _DUE).order_by(intents.c.lease_until).limit(1)
)


def leave_others(connection: sa.Connection, claimant: claims.Claimant) -> int:
    """Give up the claims of every other espm and return how many there were.

    What had been left before is due now as well: whatever it waited for may have ended.
    """
    parted = {"by": claimant.instance, "error": _STOPPED, "due": _LONG_AGO}
    number = connection.execute(_LEAVE_OTHERS, parted).rowcount
    waiting = intents.update().where(intents.c.owner.is_(None), still_open)
    connection.execute(waiting.values(lease_until=_LONG_AGO))
    return number


def unclaimed(owner: str | None, lease_until: datetime) -> bool:
    """Return whether nobody works on an open intent with these values."""
    return owner is None or lease_until <= claims.now()


def left(node: Node, kinds: Collection[IntentKind]) -> sa.Select[Any]:
    """Return the query for the node's intents of *kinds* that nobody works on, oldest first.

    In PostgreSQL it locks them, and passes by those that are just being claimed.
    """
    nobodys = sa.or_(intents.c.owner.is_(None), intents.c.lease_until <= claims.now())
    query = _with_nodes().where(intents.c.generation == node.generation, nobodys)
    return query.where(intents.c.kind.in_(kinds)).order_by(intents.c.number)


def due(limit: int) -> sa.Select[Any]:
    """Return the query for up to *limit* intents that are due, the longest due first.

    Locks as :func:`left` does.
    """
    query = _with_nodes().where(_DUE).order_by(intents.c.lease_until, intents.c.number)
    return query.limit(limit).params(moment())


def moment() -> dict[str, datetime]:
    """Return the parameters of :data:`NEXT`, for now."""
    now = claims.now()
    return {"now": now, "other_clock": now + _LONGEST}


def _with_nodes() -> sa.Select[Any]:
    query = sa.select(intents, nodes).join_from(intents, nodes).where(still_open)
    return query.with_for_update(of=intents, skip_locked=True)


def claim_all(
    connection: sa.Connection, claimant: claims.Claimant, query: sa.Select[Any]
) -> Sequence[tuple[Node, Intent]]:
    """Claim the intents that *query* finds; return them with their nodes."""
    found = connection.execute(query).mappings().all()
    return [(rows.node(row), _take(connection, claimant, row)) for row in found]


def _take(connection: sa.Connection, claimant: claims.Claimant, row: sa.RowMapping) -> Intent:
    claim = claimant.claim()
    if row[intents.c.owner] is not None:  # Its lease ran out, so nobody has counted the attempt.
        claim |= {"attempts": intents.c.attempts + 1, "last_error": _STOPPED}
    claiming = intents.update().where(intents.c.number == row[intents.c.number]).values(claim)
    return rows.intent(connection.execute(claiming.returning(intents)).mappings().one())
