"""A cloud platform's view of espm: real TLS, a pinned certificate, a preshared key."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import TYPE_CHECKING, Any

import requests

from espm import endings, ledger
from espm.api.app import Application
from espm.api.auth import Keyring
from espm.api.gate import Gate
from espm.api.handlers import Backend, Handlers
from espm.carrying import AtOnce
from espm.classifier.builtin import CAN, BuiltinClassifier
from espm.classifier.directory import prepare
from espm.exposition import Exposition
from espm.health import Readiness
from espm.model import Limits, Platform
from espm.ports import Ports
from espm.server.connections import ServerLimits, build_server
from espm.server.tls import Adapter, build_context
from tests import new_ledger
from tests.api import contract
from tests.api.wire import write_pair
from tests.fake_catalogue import FakeCatalogue
from tests.fakes import FakeCa

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from espm.ledger import SqlLedger

GROUPS = """
groups:
  - name: base
    classes: {ntp: {servers: [ntp.example.com]}}
    parameters: {site: dc1}
  - name: web
    parent: base
    classes: {"profile::web": {docroot: /srv/www}}
  - name: staging
    environment: staging
"""

PSK = "a" * 48
OTHER_PSK = "b" * 48
BODY_LIMIT = 64 * 1024
NARROW_PSK = "c" * 48


def platform(name: str, psk: str, limits: Limits | None = None) -> Platform:
    """Return a platform whose only key is *psk*."""
    return Platform(name, (hashlib.sha256(psk.encode()).hexdigest(),), limits or Limits())


PLATFORMS = (
    platform("cloud", PSK, Limits(environments=("production", "staging"))),
    platform("other", OTHER_PSK),
    platform(
        "narrow",
        NARROW_PSK,
        Limits(certnames=("web-*.example.com",), groups=("web",), classes=("profile::*",)),
    ),
)


@dataclass
class Client:
    """Calls the API as a platform does.

    :ivar url: of espm.
    :ivar ca_file: the certificate that is pinned.
    :ivar patience: seconds that one answer may take.
    """

    url: str
    ca_file: str
    psk: str | None = PSK
    session: requests.Session = field(default_factory=requests.Session)
    patience: float = 30.0

    def __post_init__(self) -> None:
        """Keep the environment's proxies and bundles out of it."""
        self.session.trust_env = False

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Return the answer to one request, having held it to the contract."""
        headers = options.pop("headers", {})
        if self.psk is not None:
            headers = {"Authorization": f"Bearer {self.psk}", **headers}
        answer = self.session.request(
            method,
            self.url + path,
            verify=self.ca_file,
            headers=headers,
            timeout=self.patience,
            **options,
        )
        contract.check(answer)
        return answer

    def add(self, certname: str, **body: Any) -> requests.Response:
        """Add a node."""
        return self.call("POST", "/v1/nodes", json={"certname": certname, **body})

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET *path*."""
        return self.call("GET", path, **options)


@dataclass
class Espm:
    """An espm with doubles for what is Puppet's and the real rest."""

    application: Application
    ca: FakeCa
    catalogue: FakeCatalogue
    ledger: SqlLedger
    ports: Ports
    enc: Path
    url: str
    ca_file: str

    def client(self, psk: str | None = PSK) -> Client:
        """Return a client with the key *psk*."""
        return Client(self.url, self.ca_file, psk)

    def recover(self) -> int:
        """Carry on what is left, as every start does; return how much is left again."""
        self.ledger.orphan()
        return len(endings.finish_all(self.ledger.claim_due(), self.ports))

    def document(self, certname: str) -> str | None:
        """Return the ENC's document of *certname*."""
        path = self.enc / f"{certname}.json"
        return path.read_text() if path.exists() else None


@dataclass
class Door:
    """A server that outlives tests: stopping one takes half a second, exchanging its app none.

    :ivar app: the WSGI application that answers now.
    """

    url: str
    ca_file: str
    app: Any = None

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Answer a request."""
        return self.app(environ, start_response)


@contextmanager
def opened(directory: Path) -> Iterator[Door]:
    """Serve on a free port until the block ends."""
    certificate, key, authority = write_pair(directory)
    ca_file = directory / "espm-ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    door = Door("", str(ca_file))
    adapter = Adapter(build_context(certificate, key))
    server = build_server(("127.0.0.1", 0), door, adapter, ServerLimits(threads=8))
    server.prepare()
    door.url = f"https://127.0.0.1:{server.bind_addr[1]}"
    thread = Thread(target=server.serve)
    thread.start()
    try:
        yield door
    finally:
        server.stop()
        thread.join()


@contextmanager
def running(directory: Path, door: Door) -> Iterator[Espm]:
    """Let a new espm answer behind *door* until the block ends."""
    new_ledger.write(directory / "ledger.db")
    (directory / "groups.yaml").write_text(GROUPS)
    enc = directory / "enc"
    enc.mkdir()
    prepare(enc)
    classifier = BuiltinClassifier(enc, directory / "groups.yaml")
    classifier.load()
    ca, catalogue = FakeCa(), FakeCatalogue()
    with ledger.open_ledger(f"sqlite:///{directory}/ledger.db") as store:
        reserved = frozenset({"puppet.example.com"})
        ports = Ports(store, classifier, catalogue, ca, AtOnce(), reserved)
        backends = {"ca": Backend("fake", ("sign-csr",)), "classifier": Backend("builtin", CAN)}
        readiness, keyring = Readiness(ports, max_age=0), Keyring(PLATFORMS)
        exposition = Exposition(readiness, keyring.failures.counts, lambda: 0)
        handlers = Handlers(ports, readiness, backends, exposition)
        application = Application(handlers, keyring, Gate(4), BODY_LIMIT)
        door.app = application
        yield Espm(application, ca, catalogue, store, ports, enc, door.url, door.ca_file)
