"""Idempotency-Keys in the ledger: tied to intents, and told with them what became of each.

Everything here happens within the transaction that begins an intent, orders a certificate under
it or closes it; so there is no moment at which a kill would leave the two apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from espm.errors import IdempotencyBusy
from espm.ledger import rows
from espm.ledger.engine import is_duplicate
from espm.ledger.schema import among, certificates, intents, nodes, replays
from espm.model import CertificateState, IntentKind

if TYPE_CHECKING:
    from datetime import datetime

    from espm.model import Certificate, Intent, Kept, ReplayKey

#: For how long a key counts.
KEPT = timedelta(hours=24)

# A key that is noted removes up to so many old ones: more than come in, and never a long wait.
_SWEPT = 10

_NOTED = (IntentKind.ADD, IntentKind.ISSUE)


@dataclass(frozen=True, slots=True)
class Mark:
    """What to note with the intent of a request.

    :ivar former: the row that it takes the place of.
    """

    key: ReplayKey
    digest: str
    former: int | None


def note(connection: sa.Connection, mark: Mark, intent: Intent, moment: datetime) -> None:
    """Note that *intent* is what the request with the key began.

    :raises espm.errors.IdempotencyBusy: another request with the key began one meanwhile.
    """
    if intent.kind not in _NOTED:
        return
    connection.execute(_forget(mark, moment - KEPT))
    connection.execute(sweep(moment))
    added = replays.insert().values(
        platform=mark.key.platform,
        path=mark.key.path,
        key=mark.key.text,
        digest=mark.digest,
        intent=intent.ident,
        created_at=moment,
    )
    try:
        connection.execute(added)
    except IntegrityError as exc:
        if not is_duplicate(exc):
            raise
        msg = "another request with this Idempotency-Key is under way"
        raise IdempotencyBusy(msg) from exc


def _forget(mark: Mark, oldest: datetime) -> sa.Delete:
    """Return the deletion of the row that *mark* takes the place of, known or just too old."""
    over = sa.or_(replays.c.ident == mark.former, replays.c.created_at <= oldest)
    return replays.delete().where(_of(mark.key), over)


def sweep(moment: datetime) -> sa.Delete:
    """Return the deletion of some rows that are too old.

    In PostgreSQL it passes by those that are just being removed, so that nobody waits.
    """
    old = sa.select(replays.c.ident).where(replays.c.created_at <= moment - KEPT)
    old = old.order_by(replays.c.created_at).limit(_SWEPT).with_for_update(skip_locked=True)
    return replays.delete().where(replays.c.ident.in_(old))


# Made once: building a statement takes longer than running it.
_OF_INTENT = replays.update().where(replays.c.intent == sa.bindparam("of"))
_TIE = _OF_INTENT.values(certificate=sa.bindparam("to"))
#: Whether what the intent :of made stands.
MADE = _OF_INTENT.values(made=sa.bindparam("is"))
_MADE_IF_VALID = _OF_INTENT.values(
    made=sa.exists().where(
        certificates.c.ident == replays.c.certificate,
        among(certificates.c.state, [CertificateState.VALID]),
    )
)


def tie(connection: sa.Connection, intent: Intent, certificate: Certificate) -> None:
    """Note the certificate that was ordered under *intent*, if a key is tied to that."""
    if intent.keyed:
        connection.execute(_TIE, {"of": intent.ident, "to": certificate.ident})


def settle(connection: sa.Connection, intent: Intent, *, done: bool) -> None:
    """Note whether *intent*, being closed, leaves something made, if a key is tied to it.

    An ISSUE is also done when its certificate was taken back.
    """
    if intent.kind not in _NOTED or not intent.keyed:
        return
    if done and intent.kind is IntentKind.ISSUE:
        connection.execute(_MADE_IF_VALID, {"of": intent.ident})
    else:
        connection.execute(MADE, {"of": intent.ident, "is": done})


def unmake(connection: sa.Connection, intent: Intent) -> None:
    """Note that what *intent* made is taken back, and nobody was told of it."""
    connection.execute(MADE, {"of": intent.ident, "is": False})


def _of(key: ReplayKey) -> sa.ColumnElement[bool]:
    return sa.and_(
        replays.c.platform == key.platform, replays.c.path == key.path, replays.c.key == key.text
    )


def find(key: ReplayKey, moment: datetime) -> sa.Select[Any]:
    """Return the query for what is noted of *key*, with intent, node and certificate."""
    return (
        sa.select(replays, intents, nodes, certificates)
        .join_from(replays, intents, replays.c.intent == intents.c.ident)
        .join(nodes, intents.c.generation == nodes.c.generation)
        .outerjoin(certificates, replays.c.certificate == certificates.c.ident)
        .where(_of(key), replays.c.created_at > moment - KEPT)
    )


def keep(key: ReplayKey, kept: Kept) -> sa.Update:
    """Return the update that keeps the answer to what was made under *key*."""
    keeping = replays.update().where(_of(key), replays.c.made)
    return keeping.values(headers=rows.dump(dict(kept.headers)), body=kept.body)
