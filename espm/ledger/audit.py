"""The audit log: who did what, when and how it ended, each row chained by hash to the last.

::

    row 1 <── row 2 <── ... <── row n <── head          the hash of a row covers the row before

Whoever changes something notes it here; the rows are written at the end of the same transaction,
so that there is no change without its row and no row without its change.  The head is locked
last, when the transaction holds all that it will ever hold: two of them can't wait for each other.
Once it is committed each row is logged with its hash, for a chain alone does not tell that its end
was cut off, or that all of it was written anew.

Who and which request come from the rows of node and intent, never from the thread: a job is often
ended by another one, or by the next start.
"""

from __future__ import annotations

import hashlib
import json
import logging
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from espm.errors import BackendRefused
from espm.ledger import engine as database
from espm.ledger.schema import audit, audit_head
from espm.ledger.statements import Statement
from espm.model import CertificateState, IntentKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from espm.model import Certificate, Intent, Issued, Node

log = logging.getLogger("espm.audit")

#: What stands in place of the hash of the row before the first.
GENESIS = "0" * 64

Row: TypeAlias = dict[str, Any]
"""The columns of a row of the audit log, by name."""

Head: TypeAlias = tuple[int, str]
"""Number and hash of the last row."""

_NOTES = "espm_audit_notes"
_write = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=repr
).encode
_STUCK = "the audit log {}, so nothing can be changed; run 'espm audit verify'"

# What espm carries on however long it takes is told when it was asked for; the rest, once it is so.
_PROMISED = {IntentKind.DELETE, IntentKind.REVOKE}
# An ISSUE and a REVOKE end with what became of the certificate, which has its own rows.
_TOLD_AT_END = {IntentKind.ADD, IntentKind.CHANGE, IntentKind.DELETE}
_CERTIFICATES = {
    CertificateState.VALID: (IntentKind.ISSUE, "done"),
    CertificateState.VOID: (IntentKind.ISSUE, "void"),
    CertificateState.REVOKED: (IntentKind.REVOKE, "done"),
}


def _who(table: str, request_id: str) -> tuple[sa.ColumnElement[Any], ...]:
    """Return what an update of *table* has to return to tell whose the row is, and who asked.

    Written as text, for SQLAlchemy leaves out the names of tables behind RETURNING, within
    subqueries too.
    """
    of_node = f"FROM nodes WHERE nodes.generation = {table}.generation"
    found = {
        "platform": f"(SELECT nodes.platform {of_node})",
        "certname": f"(SELECT nodes.certname {of_node})",
        "generation": f"{table}.generation",
        "request_id": request_id,
    }
    return tuple(sa.literal_column(text).label(f"who_{name}") for name, text in found.items())


# What an update returns costs less than a question of its own.
#: Who asked for an intent: what its update has to return for :func:`note_closed`.
WHO_CLOSED = _who("intents", "intents.request_id")
#: Who asked for what is done with a certificate now: what its update has to return for
#: :func:`note_certificate`.  At most one intent, for a CHANGE, the only one that can be open beside
#: another, touches no certificate.
WHO_MOVED = _who(
    "certificates",
    """(SELECT intents.request_id FROM intents
        WHERE intents.generation = certificates.generation
          AND intents.closed_at IS NULL AND intents.kind != 'change'
        ORDER BY intents.number DESC LIMIT 1)""",
)
_HEAD = sa.select(audit_head.c.number, audit_head.c.hash).with_for_update()
_MOVE_HEAD = Statement(
    audit_head.update()
    .where(audit_head.c.number == sa.bindparam("from"), audit_head.c.hash == sa.bindparam("before"))
    .values(number=sa.bindparam("to"), hash=sa.bindparam("last"))
)
_ADD = Statement(audit.insert())


class Who(NamedTuple):
    """Who asked for something, and for which life: the columns of a row of that name."""

    platform: str
    certname: str
    generation: int
    request_id: str

    @classmethod
    def of(cls, node: Node, request_id: str) -> Who:
        """Return who asked for what is done with *node*, by the request with that id."""
        return cls(node.platform, node.certname, node.generation, request_id)


class Known:
    """Where this process has moved the head last, which spares a question where that is still so.

    Writers of SQLite come one after the other, so it is, as long as no other process writes.  Those
    of PostgreSQL come side by side: the question costs them less than a guess that is wrong.

    :ivar head: a guess, which any thread may exchange.
    """

    def __init__(self) -> None:
        self.head: Head = (0, GENESIS)

    def guess(self, connection: sa.Connection) -> Head | None:
        """Return where the head is likely to be; None where that is not worth a try."""
        return self.head if connection.dialect.name == "sqlite" else None


def digest(row: Mapping[str, Any], previous: str) -> str:
    """Return the hash of *row* that follows a row with the hash *previous*."""
    members = {**row, "previous": previous}
    members.pop("hash", None)
    return hashlib.sha256(canonical(members)).hexdigest()


def canonical(row: Mapping[str, Any]) -> bytes:
    """Return *row* as canonical JSON (RFC 8785; there are no fractions, so its hard part is out).

    What only a forged row can hold, such as bytes, becomes JSON of another row.
    """
    return _write(row).encode(errors="backslashreplace")


@contextmanager
def writing(engine: sa.Engine, known: Known) -> Iterator[sa.Connection]:
    """As :func:`espm.ledger.engine.writing`; what is noted in the block is told at its end.

    :raises espm.errors.BackendUnavailable: the database is away, full, locked or broken.
    :raises espm.errors.BackendRefused: the audit log can't be continued.
    :raises sqlalchemy.exc.IntegrityError: a constraint was violated.
    """
    notes: list[Row] = []
    with database.writing(engine) as connection:
        connection.info[_NOTES] = notes
        try:
            yield connection
            rows = _append(connection, notes, known.guess(connection)) if notes else []
        finally:
            # Another transaction of this connection must not note anything where nobody looks.
            connection.info.pop(_NOTES, None)
    if rows:
        known.head = rows[-1]["number"], rows[-1]["hash"]
    for row in rows:
        _say(row)


def note_opened(connection: sa.Connection, node: Node, kind: IntentKind, request_id: str) -> None:
    """Note that an intent of *kind* was begun, if it will be carried on until it is done."""
    if kind in _PROMISED:
        _note(connection, Who.of(node, request_id), kind, "begun")


def note_closed(
    connection: sa.Connection, intent: Intent, outcome: str, who: Sequence[Any]
) -> None:
    """Note how *intent* ended, if that is more than what its certificates tell.

    :param who: as :data:`Who`; an update that closes it returns it by :data:`WHO_CLOSED`.
    """
    if intent.kind in _TOLD_AT_END:
        _note(connection, who, intent.kind, outcome)


def note_certificate(
    connection: sa.Connection, certificate: Certificate, who: Sequence[Any]
) -> None:
    """Note what has become of *certificate* just now.

    :param who: as :data:`Who`; an update that moves it returns it by :data:`WHO_MOVED`.
    """
    if certificate.state not in _CERTIFICATES:
        return
    action, outcome = _CERTIFICATES[certificate.state]
    issued = certificate.issued
    known = _told(issued) if issued else {}
    _note(connection, who, action, outcome, **known)


def note_signed(connection: sa.Connection, node: Node, request_id: str, issued: Issued) -> None:
    """Note that the CA has signed a certificate for *node* that is not the one ordered."""
    _note(connection, Who.of(node, request_id), IntentKind.ISSUE, "done", **_told(issued))


def _told(issued: Issued) -> dict[str, str]:
    return {"serial": f"{issued.serial:X}", "fingerprint": issued.fingerprint}


def _note(
    connection: sa.Connection,
    who: Sequence[Any],
    action: IntentKind,
    outcome: str,
    **certificate: str,
) -> None:
    row = {"serial": None, "fingerprint": None, **certificate}
    row |= {"action": str(action), "outcome": outcome}
    row |= zip(Who._fields, who, strict=True)
    connection.info[_NOTES].append(row)


def _append(connection: sa.Connection, notes: Sequence[Row], guess: Head | None) -> list[Row]:
    """Write the rows of *notes* to the end of the chain, and return them.

    :param guess: where that is, if nobody else has written meanwhile.
    """
    rows = None if guess is None else _moved(connection, notes, guess)
    rows = rows or _moved(connection, notes, _lock_head(connection))
    if rows is None:
        raise BackendRefused(_STUCK.format("has lost its head"))
    _insert(connection, rows)
    return rows


def _moved(connection: sa.Connection, notes: Sequence[Row], head: Head) -> list[Row] | None:
    """Move the head, which is locked by that, from *head* on; None where it is not there."""
    rows = _chained(notes, head)
    last = rows[-1]
    values = {"from": head[0], "before": head[1], "to": last["number"], "last": last["hash"]}
    return rows if _MOVE_HEAD.changed(connection, values) == 1 else None


def _chained(notes: Sequence[Row], head: Head) -> list[Row]:
    number, last = head
    at = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    rows: list[Row] = []
    for note in notes:
        number += 1
        row = {**note, "number": number, "at": at}
        last = digest(row, last)
        rows.append({**row, "hash": last})
    return rows


def _lock_head(connection: sa.Connection) -> Head:
    head = connection.execute(_HEAD).first()
    if head is None:
        raise BackendRefused(_STUCK.format("has lost its head"))
    return head.number, head.hash


def _insert(connection: sa.Connection, rows: Sequence[Row]) -> None:
    try:
        _ADD.each(connection, rows)
    except IntegrityError as exc:
        raise BackendRefused(_STUCK.format("has a row behind its head")) from exc


def _say(row: Row) -> None:
    serial = f" serial {row['serial']}" if row["serial"] else ""
    log.info(
        "audit %d %s %s %s %s%s platform %s request %s",
        row["number"],
        row["hash"],
        row["action"],
        row["certname"],
        row["outcome"],
        serial,
        row["platform"],
        row["request_id"] or "-",
    )
