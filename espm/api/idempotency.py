"""``Idempotency-Key``: a POST that is repeated does nothing twice, and is told what it did.

One espm works on a ledger, so who is under way is known in memory.  What was begun, and what
became of it, is in the ledger (:class:`espm.ports.Replays`); a request is only ever run anew when
nothing is left of the one before::

    under way, or being carried on     409 idempotency-busy
    came with another body             422 idempotency-conflict
    nothing noted, or nothing left     the request runs
    what it made stands                201 again, or 409 key-delivered
    what it made is gone               409 idempotency-spent
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from espm import carrying
from espm.api import created
from espm.api.delivered import Delivered
from espm.api.message import Answer, encoded
from espm.errors import (
    BackendUnavailable,
    IdempotencyBusy,
    IdempotencyConflict,
    IdempotencySpent,
    InvalidRequest,
    KeyDelivered,
    causes,
)
from espm.model import Fate, IntentKind, Kept, NodeState, ReplayKey
from espm.nodes import Accepted
from espm.ordering import Delivery

if TYPE_CHECKING:
    from collections.abc import Iterator

    from espm.api.handlers import Handlers
    from espm.api.message import Request
    from espm.api.routes import Route
    from espm.model import Json, Replay
    from espm.ports import Ports

log = logging.getLogger(__name__)

HEADER = "idempotency-key"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class Idempotency:
    """Answers requests, those with a key at most once."""

    def __init__(self, delivered: Delivered | None = None) -> None:
        self._delivered = Delivered() if delivered is None else delivered
        self._under_way: dict[ReplayKey, str] = {}
        self._lock = threading.Lock()

    def answer(self, route: Route, handlers: Handlers, request: Request) -> Answer:
        """Return the answer of the route's handler, or the one that it gave before.

        :raises espm.errors.EspmError: what the handler raises, and what the module's docstring
            names.
        """
        if not route.keyed or HEADER not in request.headers:
            return route.handler(handlers, request)
        key = _key(route, request)
        body = request.body()
        request = replace(request, body=lambda: body)
        digest = _digest(body)
        with self._alone(key, digest):
            former = _settled(key, digest, handlers.ports)
            if former is not None and former.fate is not Fate.NOTHING:
                return self._again(key, former, handlers.ports)
            ledger = handlers.ports.ledger.noting(key, digest, former)
            ports = replace(handlers.ports, ledger=ledger)
            answer = route.handler(replace(handlers, ports=ports), request)
            return self._kept(key, answer, ports)

    @contextmanager
    def _alone(self, key: ReplayKey, digest: str) -> Iterator[None]:
        """Keep other requests with the key away while the block runs."""
        with self._lock:
            other = self._under_way.get(key)
            if other is None:
                self._under_way[key] = digest
        if other is not None:
            _compare(other, digest)
            raise _busy()
        try:
            yield
        finally:
            with self._lock:
                del self._under_way[key]

    def _kept(self, key: ReplayKey, answer: Answer, ports: Ports) -> Answer:
        """Return *answer*, having kept it: durably, or in memory where it has a private key.

        What is done is not undone because the ledger is away now: the answer is given, and made
        anew from the ledger for whoever asks again.
        """
        body = encoded(answer.body)
        if answer.secret:
            self._delivered.put(key, answer.headers, body)
            return answer
        try:
            ports.ledger.keep(key, Kept(answer.headers, body.decode()))
        except BackendUnavailable as error:
            log.warning("the answer was not kept: %s", causes(error))
        return answer

    def _again(self, key: ReplayKey, former: Replay, ports: Ports) -> Answer:
        """Return the answer that the request had, or would have had.

        :raises espm.errors.IdempotencySpent: what it made is gone.
        :raises espm.errors.KeyDelivered: it had a private key.
        """
        if former.fate is Fate.GONE:
            raise _spent(former)
        if former.secret:
            answer = self._delivered.get(key)
            if answer is None:
                raise _key_delivered(former)
        elif former.kept is None:
            answer = self._kept(key, _made_anew(former, ports), ports)
        else:
            answer = Answer(201, former.kept.body.encode(), former.kept.headers)
        log.info("answered as before: %s of %s", former.kind, former.node.certname)
        return replace(answer, headers={**answer.headers, "Idempotency-Replayed": "true"})


def _key(route: Route, request: Request) -> ReplayKey:
    text = request.headers[HEADER]
    if not _KEY.fullmatch(text):
        msg = "Idempotency-Key: not 1 to 255 visible ASCII characters; a UUID is a good one"
        raise InvalidRequest(msg)
    return ReplayKey(request.platform.name, route.path.format_map(request.path), text)


def _digest(body: Json) -> str:
    """Return the digest of a body; the order of members and white space make no difference."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _settled(key: ReplayKey, digest: str, ports: Ports) -> Replay | None:
    """Return what became of the request before; what was left of it is carried on first.

    :raises espm.errors.IdempotencyConflict: it had another body, and left something.
    :raises espm.errors.IdempotencyBusy: it is being carried on, and that takes long.
    """
    former = ports.ledger.replay(key)
    if former is None or former.fate is Fate.NOTHING:
        return former
    _compare(former.digest, digest)
    if former.fate is not Fate.OPEN:
        return former
    intent = carrying.nudge(former.node, [former.kind], ports)
    if intent is not None:
        ports.carrier.wait(intent, carrying.PATIENCE, ports)
    former = ports.ledger.replay(key)
    if former is not None and former.fate is Fate.OPEN:
        raise _busy()
    return former


def _compare(former: str, digest: str) -> None:
    if former != digest:
        msg = "this Idempotency-Key came with another body before; use a new one for each request"
        raise IdempotencyConflict(msg)


def _made_anew(former: Replay, ports: Ports) -> Answer:
    """Return the answer that was lost, from what the ledger has of what was made."""
    delivery = None
    if former.certificate is not None:
        delivery = Delivery(former.certificate, ports.ca.bundle())
    if delivery is not None and former.kind is IntentKind.ISSUE:
        return created.certificate(former.node, delivery)
    return created.node(Accepted(former.node, delivery=delivery))


def _busy() -> IdempotencyBusy:
    return IdempotencyBusy("the request with this Idempotency-Key is under way; try again soon")


def _spent(former: Replay) -> IdempotencySpent:
    name, live = former.node.certname, former.node.state is NodeState.ACTIVE
    gone = f"the certificate of {name} was revoked" if live else f"the node {name} was deleted"
    return IdempotencySpent(f"{gone} since; a new request needs a new Idempotency-Key")


def _key_delivered(former: Replay) -> KeyDelivered:
    path = f"/v1/nodes/{former.node.certname}/certificate"
    return KeyDelivered(
        f"the node {former.node.certname} has its certificate, and the private key went with the "
        f"first answer; if that was lost, DELETE {path}, then POST with a new Idempotency-Key"
    )
