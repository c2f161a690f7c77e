"""The ledger as the use cases see it: each method of the port is one transaction.

What it only tells is in :mod:`espm.ledger.reader`.  What happens inside is in
:mod:`espm.ledger.nodes`, :mod:`~espm.ledger.claims` and :mod:`~espm.ledger.certificates`; this
module only says where transactions begin and end.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from espm.errors import CertnameTaken
from espm.ledger import certificates, claims, disowned, leftovers, nodes, replays, rows
from espm.ledger.claims import now
from espm.ledger.deletions import Deleting
from espm.ledger.engine import reading
from espm.ledger.replay_store import SqlReplays
from espm.ledger.schema import pulse
from espm.model import IntentKind, NodeState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import sqlalchemy as sa

    from espm.model import (
        Certificate,
        CertificateState,
        Certname,
        Classification,
        Intent,
        Issued,
        Json,
        KeyMaker,
        Node,
        OrderedKey,
    )


class SqlLedger(Deleting, SqlReplays):
    """:class:`espm.ports.Ledger` on a database; may be used by many threads at once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.disconnect()

    def disconnect(self) -> None:
        """Close all connections to the database; claims stand until their leases are over."""
        self._engine.dispose()

    def reserve(
        self,
        certname: Certname,
        platform: str,
        classification: Classification,
        *,
        request_id: str,
        key: OrderedKey | None = None,
    ) -> tuple[Node, Intent]:
        """See :meth:`espm.ports.Ledger.reserve`."""
        given = certname, platform, classification
        try:
            return self._reserve(given, request_id, key)
        except CertnameTaken:
            # Asked only now: nearly every name is free, and the index has just told.
            with reading(self._engine) as connection:
                nodes.check_free(connection, certname, platform)
        # Whoever had it has let go of it meanwhile.
        return self._reserve(given, request_id, key)

    def _reserve(
        self,
        given: tuple[Certname, str, Classification],
        request_id: str,
        key: OrderedKey | None,
    ) -> tuple[Node, Intent]:
        add = IntentKind.ADD
        with self._claiming() as (connection, claimed):
            node = nodes.insert(connection, *given)
            intent = self._claimed(connection, node, add, request_id)
            claimed.append(intent)
            ordered = key and certificates.insert(connection, node, add, *key)
            self._note(connection, intent, ordered)
            return node, intent

    def begin(
        self,
        node: Node,
        kind: IntentKind,
        payload: Mapping[str, Json] | None = None,
        *,
        request_id: str,
        undoes: Intent | None = None,
    ) -> Intent:
        """See :meth:`espm.ports.Ledger.begin`."""
        with self._claiming() as (connection, claimed):
            nodes.admit(connection, node, kind)
            if undoes is not None:
                replays.unmake(connection, undoes)
            if kind is IntentKind.ISSUE:
                certificates.refuse_second(connection, node)
            intent = self._claimed(connection, node, kind, request_id, payload)
            claimed.append(intent)
            self._note(connection, intent)
            return intent

    def _claimed(
        self,
        connection: sa.Connection,
        node: Node,
        kind: IntentKind,
        request_id: str,
        payload: Mapping[str, Json] | None = None,
    ) -> Intent:
        """Add an intent that is ours."""
        wanted, keyed = [(node, request_id)], self._mark is not None
        (begun,) = claims.insert(connection, self._claimant, wanted, kind, payload, keyed=keyed)
        return begun

    def condemn(self, intent: Intent) -> Node:
        """See :meth:`espm.ports.Ledger.condemn`; the claim's lease begins anew."""
        with self._writing() as connection:
            node = nodes.lock(connection, intent.generation)
            claims.renew(connection, self._claimant, intent)
            if node.state is NodeState.DELETING:
                return node
            adding, deleting = NodeState.ADDING, NodeState.DELETING
            return nodes.move(connection, intent.generation, adding, deleting)

    def activate(self, intent: Intent) -> Node:
        """See :meth:`espm.ports.Ledger.activate`."""
        with self._writing() as connection:
            adding, active = NodeState.ADDING, NodeState.ACTIVE
            node = nodes.move(connection, intent.generation, adding, active)
            claims.finish(connection, self._claimant, [intent], "done")
            return node

    def fulfil(self, node: Node, intent: Intent, issued: Issued) -> tuple[Node, Certificate]:
        """See :meth:`espm.ports.Ledger.fulfil`."""
        with self._writing() as connection:
            added = nodes.activate(connection, node)
            who = claims.close(connection, self._claimant, intent, node)
            certificate = certificates.fill(connection, who, issued)
            claims.note_closed(connection, intent, "done", who)
            return added, certificate

    def decline(self, intent: Intent) -> None:
        """See :meth:`espm.ports.Ledger.decline`."""
        with self._writing() as connection:
            nodes.lock(connection, intent.generation)
            claims.renew(connection, self._claimant, intent)
            certificates.decline(connection, intent.generation)

    def change(self, intent: Intent, classification: Classification, version: int) -> Node:
        """See :meth:`espm.ports.Ledger.change`."""
        text, active = rows.dump_classification(classification), NodeState.ACTIVE
        with self._writing() as connection:
            node = nodes.lock(connection, intent.generation)
            nodes.check_older(node, version)
            # What is taken back leaves out the version that may have been in force already.
            outcome = "done" if version == node.version + 1 else "undone"
            claims.finish(connection, self._claimant, [intent], outcome)
            values = {"classification": text, "version": version}
            return nodes.move(connection, intent.generation, active, active, **values)

    def close(self, intent: Intent) -> None:
        """See :meth:`espm.ports.Ledger.close`."""
        with self._writing() as connection:
            if not claims.is_closed(connection, intent):
                claims.finish(connection, self._claimant, [intent], "done")

    def bury(self, *intents: Intent) -> None:
        """See :meth:`espm.ports.Ledger.bury`."""
        undone = [intent for intent in intents if intent.kind is IntentKind.ADD]
        deleted = [intent for intent in intents if intent.kind is not IntentKind.ADD]
        with self._writing() as connection:
            self._bury(connection, undone, NodeState.UNDONE, "undone")
            self._bury(connection, deleted, NodeState.DELETED, "done")

    def _bury(
        self, connection: sa.Connection, over: Sequence[Intent], end: NodeState, outcome: str
    ) -> None:
        moved = nodes.bury(connection, [intent.generation for intent in over], end)
        ended = [intent for intent in over if intent.generation in moved]
        claims.finish(connection, self._claimant, ended, outcome)
        for intent in over:
            if intent.generation not in moved and not claims.is_closed(connection, intent):
                raise claims.taken_over()

    def leave(self, intent: Intent, error: str, *, delay: float = 0.0) -> None:
        """See :meth:`espm.ports.Ledger.leave`; fine when the claim does not stand any more.

        One that can't be written is written by whatever is written next.
        """
        self._owed.add(claims.Parting(intent, error, now() + timedelta(seconds=delay)))
        with self._writing():
            pass

    def claim_left(
        self, node: Node, kinds: Collection[IntentKind] = tuple(IntentKind)
    ) -> Sequence[tuple[Node, Intent]]:
        """See :meth:`espm.ports.Ledger.claim_left`."""
        return self._claim(leftovers.left(node, kinds))

    def claim_due(self, limit: int = 100) -> Sequence[tuple[Node, Intent]]:
        """See :meth:`espm.ports.Ledger.claim_due`; writes nothing when nothing is due."""
        if not self._owed.all():
            with reading(self._engine) as connection:
                if leftovers.NEXT.first(connection, leftovers.moment()) is None:
                    return ()
        return self._claim(leftovers.due(limit))

    def _claim(self, query: sa.Select[Any]) -> Sequence[tuple[Node, Intent]]:
        with self._claiming() as (connection, claimed):
            found = leftovers.claim_all(connection, self._claimant, query)
            claimed += [intent for _, intent in found]
            return found

    def orphan(self) -> int:
        """Take every other espm's claims for left, and return how many there were.  Idempotent.

        Only for one who holds the ledger's lock: no other can be alive then, so there is no
        lease to wait for.
        """
        with self._writing() as connection:
            return leftovers.leave_others(connection, self._claimant)

    def order(self, intent: Intent, key_sha256: str, key_maker: KeyMaker) -> Certificate:
        """See :meth:`espm.ports.Ledger.order`; the claim's lease begins anew."""
        with self._writing() as connection:
            node = nodes.lock(connection, intent.generation)
            claims.renew(connection, self._claimant, intent)
            ordered = certificates.insert(connection, node, intent.kind, key_sha256, key_maker)
            replays.tie(connection, intent, ordered)
            return ordered

    def adopt(self, certificate: Certificate, issued: Issued) -> Certificate:
        """See :meth:`espm.ports.Ledger.adopt`."""
        with self._writing() as connection:
            return certificates.adopt(connection, certificate, issued)

    def disown(self, intent: Intent, issued: Issued) -> Certificate | None:
        """See :meth:`espm.ports.Ledger.disown`."""
        with self._writing() as connection:
            return disowned.disown(connection, self._claimant, intent, issued)

    def record(self, certificate: Certificate, issued: Issued) -> Certificate:
        """See :meth:`espm.ports.Ledger.record`."""
        with self._writing() as connection:
            return certificates.record(connection, certificate, issued)

    def mark(self, certificate: Certificate, state: CertificateState) -> Certificate:
        """See :meth:`espm.ports.Ledger.mark`."""
        with self._writing() as connection:
            return certificates.mark(connection, certificate, state)

    def mark_all(
        self, many: Sequence[Certificate], state: CertificateState
    ) -> Sequence[Certificate]:
        """See :meth:`espm.ports.Ledger.mark_all`."""
        with self._writing() as connection:
            return certificates.mark_all(connection, many, state)

    def ping(self) -> None:
        """See :meth:`espm.ports.Ledger.ping`; commits a row, as a full disk fails only then."""
        with self._writing() as connection:
            connection.execute(pulse.update().values(beaten_at=now()))
