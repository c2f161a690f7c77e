"""HTTPS to a Puppet Server, with a deadline for each call as a whole (:mod:`espm.deadline`).

Nothing from the environment is obeyed: ``REQUESTS_CA_BUNDLE``, proxies and ``.netrc`` would
silently replace what the administrator configured.
"""

from __future__ import annotations

import json as jsonlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError, SSLError
from urllib3.exceptions import TimeoutError as LateError

from espm.deadline import DeadlinePool, left, within
from espm.errors import BackendRefused, BackendSilent, BackendUnavailable, ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from urllib3 import BaseHTTPResponse

    from espm.model import Json, PuppetAccess

#: The longest answer we take, in bytes; a CRL of an old CA has some megabytes.
LONGEST = 64 * 1024 * 1024

# Connections that are kept; more are made where more threads call at once.
_KEPT = 32
_HEADERS = {"Accept": "*/*", "User-Agent": "espm"}


class UnexpectedAnswer(Exception):
    """What a server answered, for the log: the cause of errors whose message callers see."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    :ivar headers: by lower-case name.
    """

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        """The body as text.

        Always UTF-8: Puppet Server sends ``Content-Type: ;charset=UTF-8``, which no parser of
        media types understands.
        """
        return self.body.decode("utf-8", "replace")

    def json(self) -> Json:
        """Return the body's JSON value.

        :raises espm.errors.BackendUnavailable: it is none.
        """
        try:
            return jsonlib.loads(self.body)
        except (ValueError, RecursionError) as exc:
            msg = "Puppet's server answered something that is not JSON"
            raise BackendUnavailable(msg) from exc


class _Request(NamedTuple):
    method: str
    target: str
    body: bytes | None
    headers: Mapping[str, str]


class PuppetHttp:
    """Calls to one server of Puppet, over connections that are kept; for any number of threads.

    :param base_url: where the server is, ``https://host:8140``.
    :param access: certificates and the time a call may take.
    :raises espm.errors.ConfigError: *base_url* is not HTTPS, or no URL at all.
    """

    def __init__(self, base_url: str, access: PuppetAccess) -> None:
        if not base_url.startswith("https://"):
            raise ConfigError([f"the URL of Puppet's server must begin with https://: {base_url}"])
        self._timeout = access.timeout
        try:
            base = urlsplit(base_url)
            self._path = base.path.rstrip("/")
            self._pool = DeadlinePool(
                base.hostname or "",
                base.port,
                maxsize=_KEPT,
                ca_certs=access.ca_file,
                cert_file=access.certificate,
                key_file=access.private_key,
            )
        except ValueError as exc:
            msg = f"the URL of Puppet's server is not of the form https://host:8140: {base_url}"
            raise ConfigError([msg]) from exc

    def call(  # noqa: PLR0913 -- each names one part of a request
        self,
        method: str,
        path: str,
        *,
        accept: Collection[int] = (200, 204),
        params: Mapping[str, str] | None = None,
        json: Json = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Reply:
        """Make one call and return the answer.

        A GET whose kept connection the server closed meanwhile is made once more; nothing else
        is ever repeated.  Resolving the server's name is not bounded by *timeout*.

        :param path: with a leading slash, already quoted.
        :param accept: the statuses that are answers; others raise.
        :param json: a value to send as JSON; *body* are bytes to send as they are.
        :param timeout: seconds for the call as a whole; by default the configured ones.
        :raises espm.errors.BackendSilent: no connection, or no answer in time.
        :raises espm.errors.BackendUnavailable: a 5xx, or an answer that can't be read.
        :raises espm.errors.BackendRefused: any other status that is not in *accept*.
        """
        given = dict(_HEADERS, **(headers or {}))
        if json is not None:
            given["Content-Type"] = "application/json"
            body = jsonlib.dumps(json).encode()
        query = f"?{urlencode(params, quote_via=quote)}" if params else ""
        request = _Request(method, f"{self._path}{path}{query}", body, given)
        with within(self._timeout if timeout is None else timeout), _translated():
            reply = self._ask(request)
        return _accepted(f"{method} {path}", reply, accept)

    def close(self) -> None:
        """Close the connections that are kept.  Idempotent."""
        self._pool.close()

    def _ask(self, request: _Request) -> Reply:
        try:
            response = self._send(request)
        except ProtocolError:
            if request.method != "GET":
                raise
            response = self._send(request)
        try:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status, _body(response), headers)
        finally:
            # One that was read to its end has given its connection back already.
            response.close()

    def _send(self, request: _Request) -> BaseHTTPResponse:
        """Send *request* and return the head of the answer; nothing is repeated or followed."""
        return self._pool.urlopen(
            *request, retries=False, redirect=False, timeout=left(), preload_content=False
        )


def _body(response: BaseHTTPResponse) -> bytes:
    """Return the whole body, unless it is too long."""
    body = bytearray()
    for chunk in response.stream(65536, decode_content=False):
        body += chunk
        if len(body) > LONGEST:
            msg = f"Puppet's server answered more than {LONGEST} bytes"
            raise BackendUnavailable(msg)
    return bytes(body)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the errors of the libraries below into ours."""
    try:
        yield
    except SSLError as exc:
        msg = (
            "no trusted connection to Puppet's server: its certificate does not fit its name and "
            "[puppet] ca_file, or it refuses espm's own"
        )
        raise BackendSilent(msg) from exc
    except (ProtocolError, NewConnectionError) as exc:  # the second is a kind of LateError
        msg = "Puppet's server could not be reached, or it broke off"
        raise BackendSilent(msg) from exc
    except (LateError, TimeoutError) as exc:
        msg = "Puppet's server did not answer in time"
        raise BackendSilent(msg) from exc
    except (HTTPError, OSError) as exc:
        msg = "the call to Puppet's server failed; espm's log says why"
        raise BackendSilent(msg) from exc


def _accepted(call: str, reply: Reply, accept: Collection[int]) -> Reply:
    """Return *reply* when its status is in *accept*; raise what it means otherwise."""
    if reply.status in accept:
        return reply
    cause = UnexpectedAnswer(f"{call}: {reply.status} {reply.text[:500]}")
    if reply.status >= 500:
        msg = f"Puppet's server failed with status {reply.status}"
        raise BackendUnavailable(msg) from cause
    if reply.status == 403:
        msg = (
            "Puppet's server does not allow espm's certificate this call: its auth.conf lacks a "
            "rule; 'espm check' says which"
        )
        raise BackendRefused(msg) from cause
    msg = f"Puppet's server refused the call with status {reply.status}"
    raise BackendRefused(msg) from cause
