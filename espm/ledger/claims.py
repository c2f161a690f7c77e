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
from secrets import token_hex
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from espm.errors import NodeBusy
from espm.ledger import audit, replays, rows
from espm.ledger.lists import listed
from espm.ledger.schema import intents, still_open
from espm.ledger.statements import Statement
from espm.model import Intent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from espm.model import IntentKind, Json, Node


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

_THIS = intents.c.ident == sa.bindparam("of")
# The claim under which an intent was handed out stands.
_HELD = sa.and_(
    _THIS,
    intents.c.owner == sa.bindparam("by"),
    intents.c.attempts == sa.bindparam("tries"),
    still_open,
)
_RENEW = Statement(intents.update().where(_HELD).values(lease_until=sa.bindparam("until")))
_END: dict[str, Any] = {
    "closed_at": sa.bindparam("at"),
    "outcome": sa.bindparam("end"),
    "owner": None,
}
#: Closes those of the intents :all that were handed out under claims with :tries.
FINISH = Statement(
    intents.update()
    .where(
        listed(intents.c.ident, "all"),
        intents.c.owner == sa.bindparam("by"),
        intents.c.attempts == sa.bindparam("tries"),
        still_open,
    )
    .values(_END)
    .returning(intents.c.ident, *audit.WHO_CLOSED)
)
#: Closes one, whose node is known.
CLOSE = Statement(intents.update().where(_HELD).values(_END).returning(intents.c.request_id))
#: What gives a claim up until :due, because of :error.
GIVEN_UP: dict[str, Any] = {
    "owner": None,
    "lease_until": sa.bindparam("due"),
    "attempts": intents.c.attempts + 1,
    "last_error": sa.bindparam("error"),
}
_LEAVE = intents.update().where(_HELD).values(GIVEN_UP)
_SUPERSEDE = intents.update().where(intents.c.generation == sa.bindparam("of"), still_open)
_SUPERSEDE = _SUPERSEDE.values(closed_at=sa.bindparam("at"), outcome="superseded", owner=None)
_INSERT = Statement(intents.insert())
_REQUEST = sa.select(intents.c.request_id).where(_THIS)
#: When the intent :of was closed.
CLOSED = Statement(sa.select(intents.c.closed_at).where(_THIS))


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
    wanted: Sequence[tuple[Node, str]],
    kind: IntentKind,
    payload: Mapping[str, Json] | None = None,
    *,
    keyed: bool = True,
) -> list[Intent]:
    """Add a claimed intent for each of several nodes, given with the ids of the requests.

    :param keyed: see :class:`espm.model.Intent`.
    """
    begun: list[Intent] = []
    values: list[dict[str, Any]] = []
    for node, request_id in wanted:
        ident, moment, given = token_hex(16), now(), payload or {}
        intent = Intent(ident, node.generation, kind, moment, given, keyed=keyed)
        begun.append(intent)
        values.append(
            {
                "ident": intent.ident,
                "generation": intent.generation,
                "kind": kind,
                "payload": rows.dump(dict(intent.payload)),
                "attempts": intent.attempts,
                "request_id": request_id,
                "created_at": intent.created,
                **claimant.claim(),
            }
        )
        audit.note_opened(connection, node, kind, request_id)
    _INSERT.each(connection, values)
    return begun


def renew(connection: sa.Connection, claimant: Claimant, intent: Intent) -> None:
    """Begin the lease of a claim anew.

    :raises espm.errors.NodeBusy: the claim does not stand any more.
    """
    until = {"until": now() + claimant.lease}
    if _RENEW.changed(connection, claimant.held(intent) | until) != 1:
        raise taken_over()


def finish(
    connection: sa.Connection, claimant: Claimant, many: Sequence[Intent], outcome: str
) -> None:
    """Close claimed intents, with a statement for all that were tried as often.

    :raises espm.errors.NodeBusy: the claim of one of them does not stand any more.
    """
    closed: dict[str, Sequence[Any]] = {}
    for tries in {intent.attempts for intent in many}:
        alike = [intent.ident for intent in many if intent.attempts == tries]
        given = {"all": alike, "by": claimant.instance, "tries": tries}
        found = FINISH.rows(connection, given | {"at": now(), "end": outcome})
        closed |= {row[0]: row[1:] for row in found}
    if len(closed) != len(many):
        raise taken_over()
    for intent in many:
        note_closed(connection, intent, outcome, closed[intent.ident])


def close(connection: sa.Connection, claimant: Claimant, intent: Intent, node: Node) -> audit.Who:
    """Close a claimed intent of *node* as done; return who asked for it, for :func:`note_closed`.

    :raises espm.errors.NodeBusy: the claim does not stand any more.
    """
    given = claimant.held(intent) | {"at": now(), "end": "done"}
    closed = CLOSE.first(connection, given)
    if closed is None:
        raise taken_over()
    return audit.Who.of(node, closed[0])


def note_closed(
    connection: sa.Connection, intent: Intent, outcome: str, who: Sequence[Any]
) -> None:
    """Note how *intent*, being closed, ended: for its Idempotency-Key, and in the audit log.

    :param who: as :data:`espm.ledger.audit.Who`.
    """
    replays.settle(connection, intent, done=outcome == "done")
    audit.note_closed(connection, intent, outcome, who)


def is_closed(connection: sa.Connection, intent: Intent) -> bool:
    """Return whether *intent* was closed, by whomever."""
    ((closed_at,),) = CLOSED.rows(connection, {"of": intent.ident})
    return closed_at is not None


def request_of(connection: sa.Connection, intent: Intent) -> str:
    """Return the id of the request that *intent* was begun by."""
    found = connection.execute(_REQUEST, {"of": intent.ident}).scalar_one()
    return str(found)


def supersede(connection: sa.Connection, generation: int) -> None:
    """Close every open intent of the node, for another takes their place."""
    connection.execute(_SUPERSEDE, {"of": generation, "at": now()})


def leave(connection: sa.Connection, claimant: Claimant, parting: Parting) -> None:
    """Give up a claim; does nothing when it does not stand any more."""
    parted = {"error": rows.storable(parting.error), "due": parting.due}
    connection.execute(_LEAVE, claimant.held(parting.intent) | parted)


def taken_over() -> NodeBusy:
    """Return the error of one whose claim does not stand any more."""
    return NodeBusy("this operation was taken over or ended by another one; look at the node")
