"""Certificates in the ledger: noted before the CA hears of them, and only ever moved forward."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from espm.errors import BackendRefused, CertificateExists, Conflict, NodeBusy
from espm.ledger import audit, rows
from espm.ledger.claims import now
from espm.ledger.engine import is_duplicate
from espm.ledger.lists import listed
from espm.ledger.schema import among, certificates, standing
from espm.ledger.statements import Statement
from espm.model import Certificate, CertificateState, IntentKind, KeyMaker, NodeState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from espm.model import Issued, Node

_ORDERED, _VALID = CertificateState.ORDERED, CertificateState.VALID
_REVOKING, _REVOKED = CertificateState.REVOKING, CertificateState.REVOKED

#: From which states a mark leads to the state; from every other it would lead backwards or lie.
_BEFORE = {
    CertificateState.VOID: (_ORDERED,),
    _ORDERED: (),
    _VALID: (),
    _REVOKING: (_VALID,),
    _REVOKED: (_VALID, _REVOKING),
}
#: Where a mark finds that all it asked for was done already.
_BEYOND = {
    CertificateState.VOID: (CertificateState.VOID,),
    _ORDERED: tuple(CertificateState),
    _VALID: (_VALID, _REVOKING, _REVOKED),
    _REVOKING: (_REVOKING, _REVOKED),
    _REVOKED: (_REVOKED,),
}
#: The certificates of the nodes :of that are ordered, valid or being revoked.
OUTSTANDING = Statement(
    sa.select(certificates)
    .where(standing, listed(certificates.c.generation, "of"))
    .order_by(certificates.c.ident)
)
_INSERT = Statement(certificates.insert().returning(certificates.c.ident))
_WIDTH = len(certificates.c)
_NEEDED = {IntentKind.ADD: NodeState.ADDING, IntentKind.ISSUE: NodeState.ACTIVE}


def insert(
    connection: sa.Connection, node: Node, kind: IntentKind, key_sha256: str, maker: KeyMaker
) -> Certificate:
    """Add an ordered certificate.

    :raises espm.errors.NodeBusy: the node's state forbids it under an intent of *kind*.
    :raises espm.errors.CertificateExists: the node has a standing certificate.
    """
    if node.state is not _NEEDED.get(kind):
        msg = f"{node.certname} is {node.state}"
        raise NodeBusy(msg)
    values = {
        "generation": node.generation,
        "key_sha256": key_sha256,
        "key_maker": maker,
        "state": _ORDERED,
    }
    try:
        ((ident,),) = _INSERT.rows(connection, values)
    except IntegrityError as exc:
        if not is_duplicate(exc):
            raise
        raise _exists(node) from exc
    return Certificate(ident, node.generation, key_sha256, maker, _ORDERED)


def outstanding(
    connection: sa.Connection, generations: Sequence[int]
) -> dict[int, list[Certificate]]:
    """Return the certificates that stand, by generation, for each of *generations*."""
    found: dict[int, list[Certificate]] = {generation: [] for generation in generations}
    for row in OUTSTANDING.rows(connection, {"of": list(found)}):
        certificate = rows.certificate_of(row)
        found[certificate.generation].append(certificate)
    return found


def refuse_second(connection: sa.Connection, node: Node) -> None:
    """Return when the node has no standing certificate.

    :raises espm.errors.CertificateExists: it has one.
    """
    if outstanding(connection, [node.generation])[node.generation]:
        raise _exists(node)


def fill(connection: sa.Connection, who: audit.Who, issued: Issued) -> Certificate:
    """Move the certificate that is ordered for a node to valid.

    :param who: whose it is, and who asked for it.
    :raises espm.errors.BackendRefused: what was issued is not for the key that was ordered.
    :raises espm.errors.Conflict: none is on order any more.
    """
    values = {"of": who.generation, "state": _VALID, **rows.issued_values(issued)}
    row = FILL.first(connection, values)
    if row is None:
        msg = "the certificate is not on order any more"
        raise Conflict(msg)
    ident, key_sha256, maker = row
    filled = Certificate(ident, who.generation, key_sha256, KeyMaker(maker), _VALID, issued)
    _check_key(filled, issued)
    audit.note_certificate(connection, filled, who)
    return filled


def decline(connection: sa.Connection, generation: int) -> None:
    """Make what is ordered for a node void, without a time, so that nobody watches it."""
    _moved(connection, MOVE_ORDERED, {"of": generation, "state": CertificateState.VOID})


def _exists(node: Node) -> CertificateExists:
    return CertificateExists(
        f"the node {node.certname} has a certificate; read it with GET, or DELETE it before "
        "asking for a new one"
    )


def adopt(connection: sa.Connection, certificate: Certificate, issued: Issued) -> Certificate:
    """Add another certificate of the same key, to be revoked with it; one row for each serial.

    :raises espm.errors.BackendRefused: it is for another key.
    """
    _check_key(certificate, issued)
    return add_revoking(connection, certificate.generation, issued, certificate.key_maker)[0]


def add_revoking(
    connection: sa.Connection, generation: int, issued: Issued, maker: KeyMaker
) -> tuple[Certificate, bool]:
    """Add a certificate that is to be revoked; one row for each serial.

    :returns: it, and whether it was not known before.
    """
    values = {"state": _REVOKING, **rows.issued_values(issued)}
    this = sa.and_(
        certificates.c.generation == generation, certificates.c.serial == values["serial"]
    )
    known = connection.execute(sa.select(certificates).where(this)).mappings().first()
    if known is not None:
        return mark(connection, rows.certificate(known), _REVOKING), False
    added = certificates.insert().values(
        generation=generation, key_sha256=issued.key_sha256, key_maker=maker, **values
    )
    row = connection.execute(added.returning(certificates)).mappings().one()
    return rows.certificate(row), True


def _check_key(certificate: Certificate, issued: Issued) -> None:
    if issued.key_sha256 != certificate.key_sha256:
        msg = "the CA issued a certificate for another key than the one that was ordered"
        raise BackendRefused(msg)


def record(connection: sa.Connection, certificate: Certificate, issued: Issued) -> Certificate:
    """Move an ordered certificate to valid; fine when the same one was recorded already.

    :raises espm.errors.BackendRefused: what was issued is not for the key that was ordered.
    :raises espm.errors.Conflict: the order was void, or filled with another certificate.
    """
    _check_key(certificate, issued)
    values = {"state": _VALID, **rows.issued_values(issued)}
    current = _move(connection, certificate, (_ORDERED,), values)
    if current.issued is None or current.issued.fingerprint != issued.fingerprint:
        raise _conflict(current, _VALID)
    return current


def mark(
    connection: sa.Connection, certificate: Certificate, state: CertificateState
) -> Certificate:
    """Move a certificate on to *state*; fine when it has got there, or beyond, already.

    :raises espm.errors.Conflict: no way leads there from the state it is in.
    """
    current = _move(connection, certificate, _BEFORE[state], _becoming(state))
    if current.state not in _BEYOND[state]:
        raise _conflict(current, state)
    return current


def mark_all(
    connection: sa.Connection, many: Sequence[Certificate], state: CertificateState
) -> list[Certificate]:
    """As :func:`mark` for each of *many*, in their order; one statement where all is as expected.

    :raises espm.errors.Conflict: from the state of one of them no way leads there.
    """
    this = {"of": [certificate.ident for certificate in many]}
    found = moving_all(_BEFORE[state]).rows(connection, this | _becoming(state))
    moved = {row[0]: row for row in found}
    return [
        _noted(connection, moved[each.ident])
        if each.ident in moved
        else mark(connection, each, state)
        for each in many
    ]


def _becoming(state: CertificateState) -> dict[str, Any]:
    ended = {"ended_at": now()} if state in {CertificateState.VOID, _REVOKED} else {}
    return {"state": state, **ended}


def _move(
    connection: sa.Connection,
    certificate: Certificate,
    states: tuple[CertificateState, ...],
    values: dict[str, Any],
) -> Certificate:
    """Set *values* if the certificate is in one of *states*, and return it as it is then."""
    this: dict[str, Any] = {"of": certificate.ident}
    moved = _moved(connection, moving(states), this | values) if states else None
    if moved is None:
        return rows.certificate(connection.execute(_BY_IDENT, this).mappings().one())
    return moved


def _moved(
    connection: sa.Connection, statement: Statement, values: dict[str, Any]
) -> Certificate | None:
    """Run an update of at most one certificate; return what it moved, having noted that."""
    row = statement.first(connection, values)
    return None if row is None else _noted(connection, row)


def _noted(connection: sa.Connection, moved: Sequence[Any]) -> Certificate:
    """Return the certificate that an update returned, having noted what became of it."""
    certificate = rows.certificate_of(moved)
    audit.note_certificate(connection, certificate, moved[_WIDTH:])
    return certificate


_THIS = certificates.c.ident == sa.bindparam("of")
_BY_IDENT = sa.select(certificates).where(_THIS)


# What _noted reads.
_ALL = (certificates, *audit.WHO_MOVED)


# What is set is said by the parameters that have the names of columns.
def _update(
    this: sa.ColumnElement[bool], states: tuple[CertificateState, ...], told: tuple[Any, ...]
) -> Statement:
    moving = certificates.update().where(this, among(certificates.c.state, states))
    return Statement(moving.returning(*told))


@cache
def moving(states: tuple[CertificateState, ...]) -> Statement:
    """Return the update of the certificate :of if it is in one of *states*."""
    return _update(_THIS, states, _ALL)


@cache
def moving_all(states: tuple[CertificateState, ...]) -> Statement:
    """Return the update of those of the certificates :of that are in one of *states*."""
    return _update(listed(certificates.c.ident, "of"), states, _ALL)


_ORDERED_OF = certificates.c.generation == sa.bindparam("of")
#: The update of what is ordered for the node :of.
MOVE_ORDERED = _update(_ORDERED_OF, (_ORDERED,), _ALL)
#: The same where all else of it is known.
FILL = _update(
    _ORDERED_OF,
    (_ORDERED,),
    (certificates.c.ident, certificates.c.key_sha256, certificates.c.key_maker),
)


def _conflict(certificate: Certificate, state: CertificateState) -> Conflict:
    return Conflict(f"a certificate that is {certificate.state} cannot become {state}")
