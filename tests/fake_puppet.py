"""A Puppet Server as espm sees one over HTTPS: a fake CA and a few classes, slow when told.

For tests of the daemon as a process, which cannot be given doubles.  What it answers is what the
contract suites hold the adapters to with the real server.
"""

from __future__ import annotations

import json
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

from espm.errors import CsrPending, EspmError
from espm.model import Certname
from tests.fakes import FakeCa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import trustme

CLASSES = {"ntp": ["servers"], "profile::web": ["docroot"]}
HELD_SECONDS = 30


@dataclass
class Hold:
    """Calls that are kept waiting.

    :ivar after: whether they wait with their effect done, else before it.
    """

    after: bool
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    free: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        """Say that a call is here and keep it until it is let go."""
        self.arrived.release()
        self.free.wait(HELD_SECONDS)

    def reached(self, times: int = 1) -> None:
        """Return when *times* more calls have come."""
        for _ in range(times):
            assert self.arrived.acquire(timeout=10)


class Away(StrEnum):
    """How a Puppet Server is not there."""

    FAILING = "answers 500"
    HANGING = "takes calls and does not answer"
    BREAKING_OFF = "closes each connection"


class FakePuppet:
    """Compile server and CA on one free port of 127.0.0.1.

    :ivar ca: what the CA holds.
    """

    def __init__(self, authority: trustme.CA) -> None:
        self.ca = FakeCa()
        self._holds: dict[str, Hold] = {}
        self._away: Away | None = None
        self._back = threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.puppet = self
        # The handshake is the handler's, or one slow client would stop the others.
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @contextmanager
    def holding(self, call: str, *, after: bool = False) -> Iterator[Hold]:
        """Keep each *call* (``PUT certificate_request``) waiting until the block ends."""
        hold = self._holds[call] = Hold(after)
        try:
            yield hold
        finally:
            del self._holds[call]
            hold.free.set()

    @contextmanager
    def away(self, how: Away) -> Iterator[None]:
        """Be away until the block ends; what hangs is done then, however late that is."""
        self._back.clear()
        self._away = how
        try:
            yield
        finally:
            self._away = None
            self._back.set()

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        """Return status and body for a request.

        :raises ConnectionAbortedError: there is none.
        """
        if self._away is Away.HANGING:
            self._back.wait(HELD_SECONDS)
        elif self._away is Away.FAILING:
            return 500, b"Internal Server Error"
        elif self._away is Away.BREAKING_OFF:
            raise ConnectionAbortedError
        _, _service, _version, kind, *rest = urlsplit(target).path.split("/")
        hold = self._holds.get(f"{method} {kind}")
        if hold and not hold.after:
            hold.wait()
        found = _ANSWERS[method, kind](self, rest[0] if rest else target, body)
        if hold and hold.after:
            hold.wait()
        return found


def _certificate(puppet: FakePuppet, name: str, _: bytes) -> tuple[int, bytes]:
    pem = puppet.ca.bundle() if name == "ca" else puppet.ca.certificate(Certname(name))
    return _found("certificate", name, pem)


def _request(puppet: FakePuppet, name: str, _: bytes) -> tuple[int, bytes]:
    return _found("certificate_request", name, puppet.ca.request(Certname(name)))


def _found(kind: str, name: str, pem: bytes | None) -> tuple[int, bytes]:
    return (404, f"Could not find {kind} {name}".encode()) if pem is None else (200, pem)


def _submit(puppet: FakePuppet, name: str, body: bytes) -> tuple[int, bytes]:
    try:
        puppet.ca.submit(Certname(name), body)
    except EspmError as error:
        held = "requested" if isinstance(error, CsrPending) else "signed"
        return 400, f"{name} already has a {held} certificate; ignoring".encode()
    return 200, b""


def _wish(puppet: FakePuppet, name: str, body: bytes) -> tuple[int, bytes]:
    certname = Certname(name)
    try:
        if json.loads(body)["desired_state"] == "signed":
            puppet.ca.sign(certname)
        else:
            puppet.ca.revoke([certname])
    except EspmError:
        return 409, b"no such request"
    return 204, b""


def _rights(*_: Any) -> tuple[int, bytes]:
    return 404, b"Resource not found."


def _clean(puppet: FakePuppet, name: str, _: bytes) -> tuple[int, bytes]:
    puppet.ca.clean(Certname(name))
    return 204, b""


def _crl(puppet: FakePuppet, *_: Any) -> tuple[int, bytes]:
    return 200, puppet.ca.crl()


def _status(puppet: FakePuppet, *_: Any) -> tuple[int, bytes]:
    return 200, json.dumps({"service_version": puppet.ca.version()}).encode()


def _classes(_: FakePuppet, target: str, __: bytes) -> tuple[int, bytes]:
    environment = parse_qs(urlsplit(target).query)["environment"][0]
    files = [
        {
            "path": f"/code/modules/{name}/manifests/init.pp",
            "classes": [{"name": name, "params": [_parameter(each) for each in parameters]}],
        }
        for name, parameters in CLASSES.items()
    ]
    return 200, json.dumps({"name": environment, "files": files}).encode()


def _parameter(name: str) -> dict[str, str]:
    return {"name": name, "type": "Any", "default_source": "'x'"}


_ANSWERS: dict[tuple[str, str], Callable[[FakePuppet, str, bytes], tuple[int, bytes]]] = {
    ("GET", "certificate"): _certificate,
    ("GET", "certificate_request"): _request,
    ("PUT", "certificate_request"): _submit,
    ("GET", "certificate_status"): _rights,
    ("PUT", "certificate_status"): _wish,
    ("DELETE", "certificate_status"): _clean,
    ("GET", "certificate_revocation_list"): _crl,
    ("GET", "services"): _status,
    ("GET", "environment_classes"): _classes,
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    puppet: FakePuppet

    def handle_error(self, *_: object) -> None:
        """Say nothing: the tests kill clients on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes; Nagle's algorithm would hold the second one back for 40 ms.
    disable_nagle_algorithm = True
    server: _Server

    def handle_any(self) -> None:
        """Answer a request."""
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:  # Its sender died over it.
            self.close_connection = True
            return
        status, answer = self.server.puppet.answer(self.command, self.path, body)
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_PUT = do_DELETE = handle_any  # noqa: N815 -- as in http.server

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def write_identity(authority: trustme.CA, directory: Path) -> None:
    """Write *authority* and espm's own client certificate where a configuration has them."""
    leaf = authority.issue_cert("espm.example.com", common_name="espm.example.com")
    authority.cert_pem.write_to_path(directory / "ca.pem")
    leaf.cert_chain_pems[0].write_to_path(directory / "puppet.pem")
    leaf.private_key_pem.write_to_path(directory / "puppet.key")
