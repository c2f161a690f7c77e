"""HTTPS to a Puppet Server, with a deadline for each call as a whole (:mod:`espm.deadline`).

Nothing from the environment is obeyed: ``REQUESTS_CA_BUNDLE``, proxies and ``.netrc`` would
silently replace what the administrator configured.
"""

from __future__ import annotations

import json as jsonlib
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING

import requests
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from espm.deadline import DeadlineAdapter, left, within
from espm.errors import BackendRefused, BackendSilent, BackendUnavailable, ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from espm.model import Json, PuppetAccess

#: The longest answer we take, in bytes; a CRL of an old CA has some megabytes.
LONGEST = 64 * 1024 * 1024


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


class PuppetHttp:
    """Calls to one server of Puppet, over connections that are kept; for any number of threads.

    :param base_url: where the server is, ``https://host:8140``.
    :param access: certificates and the time a call may take.
    :raises espm.errors.ConfigError: *base_url* is not HTTPS.
    """

    def __init__(self, base_url: str, access: PuppetAccess) -> None:
        if not base_url.startswith("https://"):
            raise ConfigError([f"the URL of Puppet's server must begin with https://: {base_url}"])
        self._base = base_url.rstrip("/")
        self._timeout = access.timeout
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = access.ca_file
        self._session.cert = (access.certificate, access.private_key)
        # Threads share the session; a cookie jar that takes nothing has nothing to share.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self._session.mount("https://", DeadlineAdapter())

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
        request = requests.Request(
            method, self._base + path, params=params, json=json, data=body, headers=headers
        )
        prepared = self._session.prepare_request(request)
        with within(self._timeout if timeout is None else timeout), _translated():
            reply = self._ask(prepared)
        return _accepted(f"{method} {path}", reply, accept)

    def close(self) -> None:
        """Close the connections that are kept.  Idempotent."""
        self._session.close()

    def _ask(self, prepared: requests.PreparedRequest) -> Reply:
        try:
            return self._send(prepared)
        except requests.ConnectionError as exc:
            cut = bool(exc.args) and isinstance(exc.args[0], ProtocolError)
            if not (cut and prepared.method == "GET"):
                raise
        return self._send(prepared)

    def _send(self, prepared: requests.PreparedRequest) -> Reply:
        session, seconds = self._session, left()
        with session.send(
            prepared,
            stream=True,
            timeout=(seconds, seconds),
            allow_redirects=False,
            verify=session.verify,
            cert=session.cert,
        ) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status_code, _body(response), headers)


def _body(response: requests.Response) -> bytes:
    """Return the whole body, unless it is too long."""
    body = bytearray()
    for chunk in response.iter_content(65536):
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
    except requests.exceptions.SSLError as exc:
        msg = (
            "no trusted connection to Puppet's server: its certificate does not fit its name and "
            "[puppet] ca_file, or it refuses espm's own"
        )
        raise BackendSilent(msg) from exc
    except (requests.Timeout, TimeoutError) as exc:
        msg = "Puppet's server did not answer in time"
        raise BackendSilent(msg) from exc
    except requests.ConnectionError as exc:
        late = bool(exc.args) and isinstance(exc.args[0], ReadTimeoutError)
        trouble = "did not answer in time" if late else "could not be reached, or it broke off"
        msg = f"Puppet's server {trouble}"
        raise BackendSilent(msg) from exc
    except (requests.RequestException, OSError) as exc:
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
