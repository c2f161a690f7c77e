"""The API as a CherryPy application: ids, routing, authentication, rendering, the access line.

CherryPy carries the request from the server to :class:`Application` and the answer back; its
dispatchers, tools and error pages are not used, for they answer in HTML, log headers and know
no preshared key.  Nothing global is mounted or started.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import cherrypy

from espm import log as logs
from espm import metrics
from espm.api import prefer, problem, routes
from espm.api.idempotency import Idempotency
from espm.api.message import Answer, Request, encoded, entity_tags
from espm.api.parsing import check_query, read_json
from espm.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from espm.api.auth import Keyring
    from espm.api.gate import Gate
    from espm.api.handlers import Handlers

log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class _Request(cherrypy._cprequest.Request):  # type: ignore[misc]  # noqa: SLF001 - no other name
    """CherryPy's request without its own reading of headers, query and body.

    That reading comes before any configuration of ours is in force, fails in HTML with a
    traceback, and decodes what we take as it is.
    """

    show_tracebacks = False
    process_request_body = False
    #: Until :meth:`Application._dispatch` has found or made one.
    espm_id = "-"

    def process_headers(self) -> None:
        """Leave the headers alone: :mod:`espm.server.framing` has checked them."""

    def process_query_string(self) -> None:
        """Leave the query alone: it is read once the caller is known."""


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

    def wsgi(self) -> cherrypy.Application:
        """Return this as the WSGI application that the server calls."""
        application = cherrypy.Application(
            None,
            "",
            {
                "/": {
                    "request.dispatch": self._dispatch,
                    "request.error_response": self._failed,
                    "tools.log_tracebacks.on": False,
                    "tools.log_headers.on": False,
                }
            },
        )
        application.request_class = _Request
        application.log.screen = False
        # CherryPy would write its own line of each request, and throw it away; ours is enough.
        application.log.access = lambda: None
        return application

    def _dispatch(self, _path: str) -> None:
        """Take the request over from CherryPy; its own routing is left out."""
        request = cherrypy.serving.request
        request.config = request.app.config["/"].copy()
        given = request.wsgi_environ.get("HTTP_X_REQUEST_ID", "")
        request.espm_id = given if _REQUEST_ID.fullmatch(given) else os.urandom(16).hex()
        request.espm_begun = time.monotonic()
        request.espm_platform = "-"
        request.espm_route = metrics.OTHER
        logs.request_id.set(request.espm_id)
        logs.stranger.set(True)
        request.handler = self._handle
        request.hooks.attach("on_end_request", _log_access)

    def _handle(self) -> bytes:
        """Answer the request; what it raises is answered by :meth:`_failed`."""
        incoming = cherrypy.serving.request
        environ = incoming.wsgi_environ
        route, path = self._route(incoming, environ)
        query, headers = _query(incoming.query_string), _headers(environ)
        check_query(query, route.query)
        request = Request(
            request_id=incoming.espm_id,
            path=path,
            query=query,
            headers=headers,
            body=lambda: read_json(headers, incoming.rfile, self._body_limit),
            caller=incoming.espm_caller,
        )
        return _render(self._answer(route, request), headers)

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

    def _route(
        self, incoming: Any, environ: Mapping[str, Any]
    ) -> tuple[routes.Route, Mapping[str, str]]:
        """Return the route; nobody learns which ones there are before saying who they are."""
        # Not CherryPy's path_info: it makes one of two slashes, which a proxy before us need not.
        path = environ["PATH_INFO"]
        incoming.espm_caller = None
        if path.startswith("/v1/") or path == "/metrics":
            incoming.espm_caller = self._authenticate(incoming, environ)
        route, parts = routes.find(incoming.method, path)
        incoming.espm_route = route.path
        return route, parts

    def _authenticate(self, incoming: Any, environ: Mapping[str, Any]) -> Any:
        caller = self._keyring.authenticate(
            environ.get("HTTP_AUTHORIZATION", ""), environ["REMOTE_ADDR"]
        )
        incoming.espm_platform = caller.name
        logs.stranger.set(False)
        if "espm.connection" in environ:
            environ["espm.connection"].authenticated = True
        return caller

    def _failed(self) -> None:
        """Answer with a problem document for the exception under way."""
        error = sys.exc_info()[1] or RuntimeError("no exception")
        status, body, headers = problem.document(error, cherrypy.serving.request.espm_id)
        answer = Answer(status, body, headers, "application/problem+json")
        cherrypy.serving.response.body = _render(answer, {})


def _query(text: str) -> dict[str, str]:
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


def _headers(environ: Mapping[str, Any]) -> dict[str, str]:
    headers = {
        name[5:].lower().replace("_", "-"): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.lower().replace("_", "-")] = environ[name]
    return headers


def _render(answer: Answer, headers: Mapping[str, str]) -> bytes:
    """Put *answer* into CherryPy's response and return its body."""
    response = cherrypy.serving.response
    etag = answer.headers.get("ETag")
    if etag and cherrypy.serving.request.method in {"GET", "HEAD"} and _known(etag, headers):
        answer = Answer(304, None, answer.headers)
    response.status = answer.status
    response.headers.pop("Content-Type", None)
    response.headers["X-Request-Id"] = cherrypy.serving.request.espm_id
    kept = etag is not None and not answer.secret
    response.headers["Cache-Control"] = "private, no-cache" if kept else "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.update(answer.headers)
    if answer.body is None:
        return b""
    response.headers["Content-Type"] = answer.content_type
    return answer.body if isinstance(answer.body, bytes) else encoded(answer.body)


def _known(etag: str, headers: Mapping[str, str]) -> bool:
    """Return whether the caller has what *etag* names; a proxy may have weakened its tag."""
    tags = entity_tags(headers.get("if-none-match", ""))
    return not {"*", etag}.isdisjoint(tag.removeprefix("W/") for tag in tags)


def _log_access() -> None:
    """Write the one line of a request: who, what, how it ended, how long it took; count it."""
    request, response = cherrypy.serving.request, cherrypy.serving.response
    status, seconds = str(response.status)[:3], time.monotonic() - request.espm_begun
    metrics.note_request(request.method, request.espm_route, status, seconds)
    log.info(
        '%s %s "%s %s" %s %.0f ms',
        request.remote.ip,
        request.espm_platform,
        request.method,
        request.wsgi_environ["REQUEST_URI"].partition("?")[0],
        status,
        seconds * 1000,
    )
    logs.request_id.set("-")
    logs.stranger.set(False)
