"""Who works on an intent: claims with a lease, and the compare-and-swap that every step makes.

::

            claim                      close
    left ───────────> claimed ───────────────────────> closed (done, undone)
      ^                  │                                ^
      │   leave, or the  │                                │
      └── lease ran out ─┘        a DELETE supersedes     │
      └───────────────────────────────────────────────────┘

An intent is left when it has no owner, and due when its lease is over; giving up a claim sets
the lease to the time at which it is to be tried again.
``attempts`` grows whenever a claim ends without closing the intent, and a claim is known by
intent, owner *and* attempts: whoever outlived the lease finds that the ledger no longer takes
its word, even when the successor is another thread of the same process.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import sqlalchemy as sa

from espm.errors import NodeBusy
from espm.ledger import audit, replays, rows
from espm.ledger.lists import listed
from espm.ledger.schema import intents, nodes, still_open
from espm.model import Intent

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from espm.model import IntentKind, Json, Node

# Due whatever the clock says, also when it is set back.
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

# Nothing is left for longer than this, so what seems due later was left by another clock.
_LONGEST = timedelta(hours=1)

_STOPPED = "espm stopped while it worked on this"


def now() -> datetime:
    """Return the time of day, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Claimant:
    """One running espm.

    :ivar instance: its name, never used by another.
    :ivar lease: how long a claim stands without a sign of life.
    """

    instance: str
    lease: timedelta

    def claim(self) -> dict[str, Any]:
        """Return the columns that make an intent ours from now on."""
        return {"owner": self.instance, "lease_until": now() + self.lease}

    def held(self, intent: Intent) -> dict[str, Any]:
        """Return what :data:`_HELD` needs to find the claim of *intent*."""
        return {"of": intent.ident, "by": self.instance, "tries": intent.attempts}


# Statements are made once, here and elsewhere: building one takes as long as running it.

# The claim under which an intent was handed out stands.
_HELD = sa.and_(
    intents.c.ident == sa.bindparam("of"),
    intents.c.owner == sa.bindparam("by"),
    intents.c.attempts == sa.bindparam("tries"),
    still_open,
)
_RENEW = intents.update().where(_HELD).values(lease_until=sa.bindparam("until"))
_END: dict[str, Any] = {
    "closed_at": sa.bindparam("at"),
    "outcome": sa.bindparam("end"),
    "owner": None,
}
FINISH = intents.update().where(_HELD).values(_END).returning(*audit.WHO_CLOSED)
#: As FINISH, for those of the intents :all that were handed out under claims with :tries.
FINISH_ALL = intents.update().where(
    listed(intents.c.ident, "all"),
    intents.c.owner == sa.bindparam("by"),
    intents.c.attempts == sa.bindparam("tries"),
    still_open,
)
FINISH_ALL = FINISH_ALL.values(_END).returning(intents.c.ident, *audit.WHO_CLOSED)
_GIVEN_UP: dict[str, Any] = {
    "owner": None,
    "lease_until": sa.bindparam("due"),
    "attempts": intents.c.attempts + 1,
    "last_error": sa.bindparam("error"),
}
_LEAVE = intents.update().where(_HELD).values(_GIVEN_UP)
_LEAVE_OTHERS = intents.update().where(intents.c.owner != sa.bindparam("by"), still_open)
_LEAVE_OTHERS = _LEAVE_OTHERS.values(_GIVEN_UP)
_SUPERSEDE = intents.update().where(intents.c.generation == sa.bindparam("of"), still_open)
_SUPERSEDE = _SUPERSEDE.values(closed_at=sa.bindparam("at"), outcome="superseded", owner=None)
_INSERT = intents.insert()
_CLOSED = sa.select(intents.c.closed_at).where(intents.c.ident == sa.bindparam("of"))


class Parting(NamedTuple):
    """A claim to be given up.

    :ivar error: why.
    :ivar due: when the intent is to be tried again.
    """

    intent: Intent
    error: str
    due: datetime


def insert(
    connection: sa.Connection,
    claimant: Claimant,
    node: Node,
    kind: IntentKind,
    payload: Mapping[str, Json],
    request_id: str,
) -> Intent:
    """Add a claimed intent and return it."""
    begun = Intent(uuid4().hex, node.generation, kind, now(), dict(payload))
    values = {
        "ident": begun.ident,
        "generation": begun.generation,
        "kind": kind,
        "payload": rows.dump(dict(payload)),
        "attempts": begun.attempts,
        "request_id": request_id,
        "created_at": begun.created,
        **claimant.claim(),
    }
    audit.note_opened(connection, node, kind, request_id)
    connection.execute(_INSERT, values)
    return begun


def renew(connection: sa.Connection, claimant: Claimant, intent: Intent) -> None:
    """Begin the lease of a claim anew.

    :raises espm.errors.NodeBusy: the claim does not stand any more.
    """
    until = {"until": now() + claimant.lease}
    if connection.execute(_RENEW, claimant.held(intent) | until).rowcount != 1:
        raise taken_over()


def finish(connection: sa.Connection, claimant: Claimant, intent: Intent, outcome: str) -> None:
    """Close a claimed intent.

    :raises espm.errors.NodeBusy: the claim does not stand any more.
    """
    end = {"at": now(), "end": outcome}
    closed = connection.execute(FINISH, claimant.held(intent) | end).mappings().first()
    if closed is None:
        raise taken_over()
    replays.settle(connection, intent, done=outcome == "done")
    audit.note_closed(connection, intent, outcome, closed)


def finish_all(
    connection: sa.Connection, claimant: Claimant, many: Sequence[Intent], outcome: str
) -> None:
    """As :func:`finish` for each of *many*, with a statement for all that were tried as often.

    :raises espm.errors.NodeBusy: the claim of one of them does not stand any more.
    """
    closed: dict[str, sa.RowMapping] = {}
    for tries in {intent.attempts for intent in many}:
        alike = [intent.ident for intent in many if intent.attempts == tries]
        given = {"all": alike, "by": claimant.instance, "tries": tries}
        found = connection.execute(FINISH_ALL, given | {"at": now(), "end": outcome}).mappings()
        closed |= {row[intents.c.ident]: row for row in found}
    if len(closed) != len(many):
        raise taken_over()
    for intent in many:
        replays.settle(connection, intent, done=outcome == "done")
        audit.note_closed(connection, intent, outcome, closed[intent.ident])


def is_closed(connection: sa.Connection, intent: Intent) -> bool:
    """Return whether *intent* was closed, by whomever."""
    return connection.execute(_CLOSED, {"of": intent.ident}).scalar_one() is not None


def supersede(connection: sa.Connection, generation: int) -> None:
    """Close every open intent of the node, for another takes their place."""
    connection.execute(_SUPERSEDE, {"of": generation, "at": now()})


def leave(connection: sa.Connection, claimant: Claimant, parting: Parting) -> None:
    """Give up a claim; does nothing when it does not stand any more."""
    parted = {"error": rows.storable(parting.error), "due": parting.due}
    connection.execute(_LEAVE, claimant.held(parting.intent) | parted)


def leave_others(connection: sa.Connection, claimant: Claimant) -> int:
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
    return owner is None or lease_until <= now()


def left(node: Node, kinds: Collection[IntentKind]) -> sa.Select[Any]:
    """Return the query for the node's intents of *kinds* that nobody works on, oldest first.

    In PostgreSQL it locks them, and passes by those that are just being claimed.
    """
    nobodys = sa.or_(intents.c.owner.is_(None), intents.c.lease_until <= now())
    query = _with_nodes().where(intents.c.generation == node.generation, nobodys)
    return query.where(intents.c.kind.in_(kinds)).order_by(intents.c.number)


def due(limit: int) -> sa.Select[Any]:
    """Return the query for up to *limit* intents that are due, the longest due first.

    Locks as :func:`left` does.
    """
    until = intents.c.lease_until
    other_clock = sa.and_(intents.c.owner.is_(None), until > now() + _LONGEST)
    query = _with_nodes().where(sa.or_(until <= now(), other_clock))
    return query.order_by(until, intents.c.number).limit(limit)


def _with_nodes() -> sa.Select[Any]:
    query = sa.select(intents, nodes).join_from(intents, nodes).where(still_open)
    return query.with_for_update(of=intents, skip_locked=True)


def claimed() -> sa.ColumnElement[bool]:
    """Return the condition that somebody works on an intent."""
    return sa.and_(intents.c.owner.is_not(None), intents.c.lease_until > now())


def claim_all(
    connection: sa.Connection, claimant: Claimant, query: sa.Select[Any]
) -> Sequence[tuple[Node, Intent]]:
    """Claim the intents that *query* finds; return them with their nodes."""
    found = connection.execute(query).mappings().all()
    return [(rows.node(row), _claim(connection, claimant, row)) for row in found]


def _claim(connection: sa.Connection, claimant: Claimant, row: sa.RowMapping) -> Intent:
    claim = claimant.claim()
    if row[intents.c.owner] is not None:  # Its lease ran out, so nobody has counted the attempt.
        claim |= {"attempts": intents.c.attempts + 1, "last_error": _STOPPED}
    claiming = intents.update().where(intents.c.number == row[intents.c.number]).values(claim)
    return rows.intent(connection.execute(claiming.returning(intents)).mappings().one())


def taken_over() -> NodeBusy:
    """Return the error of one whose claim does not stand any more."""
    return NodeBusy("this operation was taken over or ended by another one; look at the node")
