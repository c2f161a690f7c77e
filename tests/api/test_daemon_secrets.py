"""What the daemon leaves of the secrets that pass through it: nothing, on no disk and in no log."""

from __future__ import annotations

import base64
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization

from tests.api.platform import PSK
from tests.api.process import Daemon, Site, site_with_puppet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.fake_puppet import FakePuppet

pytestmark = pytest.mark.slow

WRONG_PSK = "w" * 48
#: A class parameter may well be a secret; it is kept, but nowhere else than it has to be.
PASSWORD = "hunter2-of-the-database"
DOCUMENTS = {"web1.example.com.json", "web2.example.com.json"}


class Run:
    """What passed through a daemon, and what there is after its end.

    :ivar keys: the private keys that it made, as PEM.
    :ivar traces: everything that was left, by where it was.
    """

    def __init__(self, site: Site, puppet: FakePuppet) -> None:
        self._site = site
        self._puppet = puppet
        self.keys: list[str] = []
        self.traces: dict[str, bytes] = {}

    def live(self, daemon: Daemon, round_: int) -> None:
        """Let nodes be launched, well and badly, and note the keys that come back."""
        client, name = self._site.client(), f"web{round_}.example.com"
        secret = {"classes": {"profile::web": {"docroot": PASSWORD}}, "certificate": {}}
        key = {"Idempotency-Key": f"launch-{round_}"}
        body = {"certname": name, **secret}
        first, again = (
            client.call("POST", "/v1/nodes", json=body, headers=key).json() for _ in range(2)
        )
        assert first == again
        self._keep(first["certificate"])
        client.add(name, **secret)
        self._site.client(WRONG_PSK).add(f"stranger{round_}.example.com", **secret)
        client.add("Not A Name", **secret, private_key=self.keys[-1])
        client.call("DELETE", f"/v1/nodes/{name}/certificate")
        self._keep(client.call("POST", f"/v1/nodes/{name}/certificate", json={}).json())
        daemon.reload()

    def die(self, daemon: Daemon) -> None:
        """End the daemon while it has a key in its hands."""
        with ThreadPoolExecutor(1) as pool, self._puppet.holding("PUT certificate_status") as hold:
            cut = pool.submit(self._site.client().add, "cut.example.com", certificate={})
            hold.reached()
            self._look("killed")
            daemon.stop(signal.SIGKILL)
            assert cut.exception()

    def end(self, daemon: Daemon) -> None:
        """Look at what a daemon has written that ended."""
        self.traces |= {
            f"log {len(self.traces)}": daemon.out.text.encode(),
            f"errors {len(self.traces)}": daemon.err.text.encode(),
        }
        self._look("ended")

    def _keep(self, certificate: dict[str, Any]) -> None:
        self.keys.append(certificate["private_key"])

    def _look(self, when: str) -> None:
        # The two keys of the site itself are not from espm.
        own = {self._site.sample.server_key, self._site.sample.puppet_key}
        for path in self._site.directory.rglob("*"):
            if path.is_file() and path not in own:
                self.traces[f"{path} {when}"] = path.read_bytes()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Two daemons on one site: the first is killed, the second carries on and ends well."""
    with site_with_puppet(tmp_path_factory.mktemp("secrets")) as (site, puppet):
        made = Run(site, puppet)
        with site.serving() as daemon:
            made.live(daemon, 1)
            made.die(daemon)
        made.end(daemon)
        with site.serving() as daemon:
            made.live(daemon, 2)
            assert daemon.stop() == 0
        made.end(daemon)
        yield made


def _forms(pem: str) -> list[bytes]:
    """Return what a key could be recognised by: its PEM's lines, its DER, its secret number."""
    lines = [line.encode() for line in pem.splitlines()[1:3]]  # The third has no secret in it.
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    der = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    number = key.private_numbers().private_value.to_bytes(32, "big")  # type: ignore[union-attr]
    return [*lines, der, number, number.hex().encode(), base64.b64encode(number)]


def _places(traces: dict[str, bytes], secrets: Iterable[bytes]) -> set[str]:
    """Return where any of *secrets* is, as it is or in base64."""
    forms = [form for secret in secrets for form in (secret, base64.b64encode(secret))]
    return {place for place, content in traces.items() if any(form in content for form in forms)}


def test_a_private_key_is_nowhere(run: Run) -> None:
    """In no file of the site, the ledger and its journal included, in no line of the log; neither
    while espm runs, nor after it was killed, nor after it has ended.
    """
    forms = [form for pem in run.keys for form in _forms(pem)]
    planted = {"line": b"x" + forms[1] + b"y", "number": forms[3]}

    assert len(set(run.keys)) == 4
    assert any(b"issue web1.example.com done" in content for content in run.traces.values())
    assert {"ledger.db", "ledger.db-wal", "ledger.db-shm"} <= {_name(place) for place in run.traces}
    assert _places(run.traces, forms) == set()
    assert _places(planted, forms) == set(planted)


def test_a_preshared_key_is_nowhere(run: Run) -> None:
    """The right one and a wrong one; the configuration has the digest."""
    assert _places(run.traces, [PSK.encode(), WRONG_PSK.encode()]) == set()


def test_what_a_platform_sends_is_only_where_it_must_be(run: Run) -> None:
    """A class parameter is in the ledger and in the node's document, and in no log."""
    places = {_name(place) for place in _places(run.traces, [PASSWORD.encode()])}

    assert {"ledger.db", *DOCUMENTS} <= places <= {"ledger.db", "ledger.db-wal", *DOCUMENTS}


def _name(place: str) -> str:
    return place.split(maxsplit=1)[0].rpartition("/")[2]


def test_a_core_dump_would_have_nothing_in_it(tmp_path: Path) -> None:
    """None is written; one that is piped to a program, which no limit forbids, has no memory.  And
    files are made for espm's user alone.
    """
    with site_with_puppet(tmp_path) as (site, _), site.serving() as daemon:
        proc = Path(f"/proc/{daemon.process.pid}")
        limits = (proc / "limits").read_text()
        status = (proc / "status").read_text().splitlines()
        dumped = (proc / "coredump_filter").read_text()

    assert re.search(r"(?m)^Max core file size +0 +0 ", limits)
    assert "Umask:\t0077" in status
    assert int(dumped, 16) == 0
