"""The API as a WSGI application: ids, routing, authentication, rendering, the access line.

It is called by :mod:`espm.server.gateway` (PEP 3333 but for the headers).  CherryPy's own
application in between would only carry the request in and the answer back, at 0.3 ms of a core for
each launch (docs/decisions/0027-no-detour-through-cherrypy.md).
"""

from __future__ import annotations

import logging
import os
import re
import time
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qsl

from espm import log as logs
from espm import metrics
from espm.api import prefer, problem, routes
from espm.api.idempotency import Idempotency
from espm.api.message import Answer, Request, encoded, entity_tags
from espm.api.parsing import check_query, read_json
from espm.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from espm.api.auth import Keyring
    from espm.api.gate import Gate
    from espm.api.handlers import Handlers
    from espm.model import Platform

log = logging.getLogger(__name__)

_Header: TypeAlias = tuple[str, str]

#: What has neither a body nor a length (RFC 9110, 8.6).
_BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class _Incoming:
    """A request on its way through the application.

    :ivar ident: its id, which the client may have chosen.
    :ivar begun: the monotonic time at which it came.
    :ivar platform: the name of who asks, ``-`` until that is known.
    :ivar route: the path of the route, for the metrics.
    """

    def __init__(self, environ: Mapping[str, Any]) -> None:
        given = environ["espm.headers"].get("x-request-id", "")
        self.environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.ident = given if _REQUEST_ID.fullmatch(given) else os.urandom(16).hex()
        self.begun = time.monotonic()
        self.platform = "-"
        self.route = metrics.OTHER


class _Outgoing:
    """The body of an answer, and what is done once it is on its way (PEP 3333)."""

    def __init__(self, body: bytes, sent: Callable[[], None]) -> None:
        self._body = body
        self._sent = sent

    def __iter__(self) -> Iterator[bytes]:
        return iter((self._body,))

    def close(self) -> None:
        """Do it."""
        self._sent()


class Application:
    """Answers every request that the server lets through.

    :param body_limit: how many bytes a body may have.
    """

    def __init__(self, handlers: Handlers, keyring: Keyring, gate: Gate, body_limit: int) -> None:
        self._handlers = handlers
        self._keyring = keyring
        self._gate = gate
        self._idempotency = Idempotency()
        self._body_limit = body_limit

    def __call__(
        self, environ: Mapping[str, Any], start_response: Callable[[str, list[_Header]], Any]
    ) -> _Outgoing:
        """Answer a request, as WSGI has it."""
        incoming = _Incoming(environ)
        logs.request_id.set(incoming.ident)
        logs.stranger.set(True)
        try:
            answer, body = self._handle(incoming)
        except Exception as error:  # noqa: BLE001 - every one has an answer, and is logged there
            answer, body = _failed(error, incoming)
        status = HTTPStatus(answer.status)
        start_response(f"{status.value} {status.phrase}", _head(answer, len(body), incoming))
        sent = b"" if incoming.method == "HEAD" else body
        return _Outgoing(sent, lambda: _log_access(incoming, answer.status))

    def _handle(self, incoming: _Incoming) -> tuple[Answer, bytes]:
        """Return the answer to a request, and its body."""
        environ = incoming.environ
        # As it came: a proxy before us need not make one of two slashes.
        path = environ["PATH_INFO"]
        caller = self._authenticate(incoming) if _is_closed(path) else None
        route, parts = routes.find(incoming.method, path)
        incoming.route = route.path
        query, headers = _query(environ["QUERY_STRING"]), environ["espm.headers"]
        check_query(query, route.query)
        request = Request(
            request_id=incoming.ident,
            path=parts,
            query=query,
            headers=headers,
            body=lambda: read_json(headers, environ["wsgi.input"], self._body_limit),
            caller=caller,
        )
        return _rendered(self._answer(route, request), incoming.method, headers)

    def _answer(self, route: routes.Route, request: Request) -> Answer:
        """Have the handler answer, within what may wait for Puppet."""
        if route.waits is routes.Waits.MUST:
            with self._gate.waiting():
                return self._idempotency.answer(route, self._handlers, request)
        if route.waits is routes.Waits.MAY:
            with self._gate.if_room() as room:
                seconds = prefer.patience(request.headers.get("prefer", "")) if room else 0.0
                return route.handler(self._handlers, replace(request, patience=seconds))
        return route.handler(self._handlers, request)

    def _authenticate(self, incoming: _Incoming) -> Platform:
        """Return who asks; nobody learns which routes there are before saying that."""
        environ = incoming.environ
        caller = self._keyring.authenticate(
            environ["espm.headers"].get("authorization", ""), environ["REMOTE_ADDR"]
        )
        incoming.platform = caller.name
        logs.stranger.set(False)
        if "espm.connection" in environ:
            environ["espm.connection"].authenticated = True
        return caller


def _is_closed(path: str) -> bool:
    return path.startswith("/v1/") or path == "/metrics"


def _failed(error: Exception, incoming: _Incoming) -> tuple[Answer, bytes]:
    """Return a problem document for *error*."""
    status, body, headers = problem.document(error, incoming.ident)
    return Answer(status, body, headers, "application/problem+json"), encoded(body)


def _query(text: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
    except ValueError:
        msg = "the query is not percent-encoded UTF-8"
        raise InvalidRequest(msg) from None
    query = dict(pairs)
    if len(query) != len(pairs):
        msg = "the query repeats a parameter"
        raise InvalidRequest(msg)
    return query


def _rendered(answer: Answer, method: str, headers: Mapping[str, str]) -> tuple[Answer, bytes]:
    """Return *answer*, or that the caller has it already, and its body."""
    etag = answer.headers.get("ETag")
    if etag and method in {"GET", "HEAD"} and _known(etag, headers):
        answer = Answer(304, None, answer.headers)
    if answer.body is None:
        return answer, b""
    return answer, answer.body if isinstance(answer.body, bytes) else encoded(answer.body)


def _head(answer: Answer, length: int, incoming: _Incoming) -> list[_Header]:
    """Return the headers of *answer*, whose body has *length* octets."""
    kept = "ETag" in answer.headers and not answer.secret
    head = [
        ("X-Request-Id", incoming.ident),
        ("Cache-Control", "private, no-cache" if kept else "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        *answer.headers.items(),
    ]
    if answer.body is not None:
        head += [("Content-Type", answer.content_type)]
    if answer.status not in _BODILESS:
        head += [("Content-Length", str(length))]
    return head


def _known(etag: str, headers: Mapping[str, str]) -> bool:
    """Return whether the caller has what *etag* names; a proxy may have weakened its tag."""
    tags = entity_tags(headers.get("if-none-match", ""))
    return not {"*", etag}.isdisjoint(tag.removeprefix("W/") for tag in tags)


def _log_access(incoming: _Incoming, status: int) -> None:
    """Write the one line of a request: who, what, how it ended, how long it took; count it."""
    seconds, environ = time.monotonic() - incoming.begun, incoming.environ
    metrics.note_request(incoming.method, incoming.route, str(status), seconds)
    log.info(
        '%s %s "%s %s" %d %.0f ms',
        environ["REMOTE_ADDR"],
        incoming.platform,
        incoming.method,
        environ["REQUEST_URI"].partition("?")[0],
        status,
        seconds * 1000,
    )
    logs.request_id.set("-")
    logs.stranger.set(False)
