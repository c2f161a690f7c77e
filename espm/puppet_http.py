"""HTTPS to a Puppet Server, with a deadline for each call as a whole (:mod:`espm.deadline`).

Nothing from the environment is obeyed: ``REQUESTS_CA_BUNDLE``, proxies and ``.netrc`` would
silently replace what the administrator configured.
"""

from __future__ import annotations

import json as jsonlib
import re
from dataclasses import dataclass
from ssl import SSLEOFError, SSLError, SSLZeroReturnError
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

from espm.answer import Garbled, TooLong
from espm.deadline import Within
from espm.errors import BackendRefused, BackendSilent, BackendUnavailable, ConfigError
from espm.kept import Connections, NoConnection

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from espm.kept import Begun
    from espm.model import Json, PuppetAccess

#: The longest answer we take, in bytes; a CRL of an old CA has some megabytes.
LONGEST = 64 * 1024 * 1024

_LABEL = "[A-Za-z0-9_-]{1,63}"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*")

# An answer that is compressed is nothing that we could read.
_ALWAYS = "Accept: */*\r\nAccept-Encoding: identity\r\nUser-Agent: espm\r\n"

# Without json.dumps, which asks first for each of its options whether it was given.
_write = jsonlib.JSONEncoder().encode


class UnexpectedAnswer(Exception):
    """What a server answered, for the log: the cause of errors whose message callers see."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; nobody wants its headers."""

    status: int
    body: bytes

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
            host, port = base.hostname or "", base.port or 443
        except ValueError:
            host = ""
        if not _HOST.fullmatch(host):
            msg = f"the URL of Puppet's server is not of the form https://host:8140: {base_url}"
            raise ConfigError([msg])
        self._path = quote(base.path.rstrip("/"), safe="/%")
        self._fields = f"Host: {base.netloc.rpartition('@')[2]}\r\n{_ALWAYS}"
        self._connections = Connections(host, port, access)

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
        begun: Begun | None = None,
    ) -> Reply:
        """Make one call and return the answer.

        A GET whose connection breaks off is made once more; nothing else is ever repeated.
        Resolving the server's name is not bounded by *timeout*.

        :param path: with a leading slash, already quoted.
        :param accept: the statuses that are answers; others raise.
        :param json: a value to send as JSON; *body* are bytes to send as they are.
        :param timeout: seconds for the call as a whole; by default the configured ones.
        :param begun: what :meth:`begin` returned for it; *method*, *path* and *json* are as there.
        :raises espm.errors.BackendSilent: no connection, or no answer in time.
        :raises espm.errors.BackendUnavailable: a 5xx, or an answer that can't be read.
        :raises espm.errors.BackendRefused: any other status that is not in *accept*.
        """
        target = f"{path}?{urlencode(params, quote_via=quote)}" if params else path
        request = begun.request if begun else self._request(method, target, json, body, headers)
        try:
            with Within(self._timeout if timeout is None else timeout):
                reply = self._ask(method, request, begun)
        except (Garbled, OSError) as error:
            raise _silence(error) from error
        except TooLong as error:
            msg = f"Puppet's server answered more than {LONGEST} bytes"
            raise BackendUnavailable(msg) from error
        return _accepted(f"{method} {path}", reply, accept)

    def begin(self, method: str, path: str, *, json: Json) -> Begun | None:
        """Begin a call: let the server get ready for what it can't obey yet (:mod:`espm.kept`).

        :meth:`call` goes on with it; whoever does not come to that leaves it.  None where it is
        better made as a whole, as while another call is under way, or begun: the server has
        enough to do for us then, and what is begun keeps one of its threads, which all agents
        need, while our ENC may hang.
        """
        if self._connections.busy:
            return None
        request = self._request(method, path, json)
        with Within(self._timeout):
            return self._connections.begin(request)

    def close(self) -> None:
        """Close the connections that are kept.  Idempotent."""
        self._connections.close()

    def _request(
        self,
        method: str,
        target: str,
        json: Json,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        fields = self._fields
        for name, said in (headers or {}).items():
            fields += f"{name}: {said}\r\n"
        if json is not None:
            fields += "Content-Type: application/json\r\n"
            body = _write(json).encode()
        if body is not None or method != "GET":
            fields += f"Content-Length: {len(body or b'')}\r\n"
        head = f"{method} {self._path}{target} HTTP/1.1\r\n{fields}\r\n"
        return head.encode("ascii") + (body or b"")

    def _ask(self, method: str, request: bytes, begun: Begun | None) -> Reply:
        try:
            return Reply(*self._connections.ask(request, LONGEST, begun))
        except _BROKEN as error:
            if method != "GET" or isinstance(error, NoConnection):
                raise
        return Reply(*self._connections.ask(request, LONGEST))


# How it shows that the server has left.
_BROKEN = (ConnectionError, Garbled, SSLEOFError, SSLZeroReturnError)


def _silence(error: Garbled | OSError) -> BackendSilent:
    """Return what an error of the libraries below means."""
    if isinstance(error, _BROKEN):
        return BackendSilent("Puppet's server could not be reached, or it broke off")
    if isinstance(error, SSLError):
        return BackendSilent(
            "no trusted connection to Puppet's server: its certificate does not fit its name and "
            "[puppet] ca_file, or it refuses espm's own"
        )
    if isinstance(error, TimeoutError):
        return BackendSilent("Puppet's server did not answer in time")
    return BackendSilent("the call to Puppet's server failed; espm's log says why")


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
