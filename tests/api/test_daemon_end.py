"""How the daemon ends: what is in flight is finished, and what a sudden end left is settled."""

from __future__ import annotations

import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from espm import ledger, x509
from espm.model import Certname, Classification
from tests.api.process import Site, site_with_puppet
from tests.api.test_nodes import slug
from tests.crls import is_revoked
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fake_puppet import FakePuppet

ADDING, DYING, STAYING = "adding.example.com", "dying.example.com", "staying.example.com"


pytestmark = pytest.mark.slow


@pytest.fixture
def made(tmp_path: Path) -> Iterator[tuple[Site, FakePuppet]]:
    """A site beside a fake Puppet."""
    with site_with_puppet(tmp_path) as both:
        yield both


@pytest.fixture
def manager() -> Iterator[socket.socket]:
    """A service manager's socket in the abstract namespace."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(f"\0espm-test-{free_port()}")
        channel.settimeout(10)
        yield channel


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_is_finished(
    made: tuple[Site, FakePuppet], manager: socket.socket, number: int
) -> None:
    """A request that waits for the CA gets its answer, and the port is free afterwards; the
    environment's LISTEN_PID was somebody else's.
    """
    site, puppet = made
    address = "@" + manager.getsockname()[1:].decode()
    with (
        site.serving(NOTIFY_SOCKET=address, LISTEN_PID="1", LISTEN_FDS="1") as daemon,
        ThreadPoolExecutor(1) as pool,
    ):
        with puppet.holding("PUT certificate_request") as hold:
            answer = pool.submit(site.client().add, "slow.example.com", certificate={})
            hold.reached()
            daemon.process.send_signal(number)
            daemon.out.wait_for("ENGINE Bus STOPPING")
            running = daemon.process.poll() is None
        added = answer.result()
        code = daemon.ended()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", site.port))

    assert running
    assert (added.status_code, code) == (201, 0)
    assert x509.common_name(puppet.ca.issued["slow.example.com"]) == "slow.example.com"
    assert daemon.err.text == ""
    assert "Traceback" not in daemon.out.text
    assert [manager.recv(99) for _ in range(2)] == [b"READY=1", b"STOPPING=1"]


def test_a_sudden_end_is_settled_at_the_next_start(made: tuple[Site, FakePuppet]) -> None:
    """Killed in the middle of an addition and a deletion, espm takes back the one and finishes
    the other when it starts again: nothing valid, nothing classified, the name free.
    """
    site, puppet = made
    certificates = _killed_at_work(site, puppet)
    with site.serving() as again:
        again.out.wait_for(f"add {ADDING} undone")
        again.out.wait_for(f"delete {DYING} done")
        crl, bundle = puppet.ca.crl(), puppet.ca.bundle()
        left = _states(site), sorted(puppet.ca.issued), site.document(ADDING), site.document(DYING)
        anew = site.client().add(ADDING, certificate={})
        repeated = site.client().call("DELETE", f"/v1/nodes/{DYING}")
        code = again.stop()

    assert "2 operations were under way when espm ended the last time" in again.out.text
    assert [is_revoked(crl, pem, bundle) for pem in certificates] == [True, True]
    assert left == ({STAYING: "active"}, [], None, None)
    assert (anew.status_code, repeated.status_code) == (201, 204)
    assert (code, again.err.text) == (0, "")


def _killed_at_work(site: Site, puppet: FakePuppet) -> list[bytes]:
    """Kill a daemon that adds one node and deletes another; return their certificates."""
    with site.serving() as daemon, ThreadPoolExecutor(2) as pool:
        client = site.client()
        client.add(DYING, certificate={})
        client.add(STAYING, classes={"ntp": {}})
        with puppet.holding("PUT certificate_status", after=True) as hold:
            cut = [
                pool.submit(site.client().add, ADDING, certificate={}),
                pool.submit(site.client().call, "DELETE", f"/v1/nodes/{DYING}"),
            ]
            hold.reached(2)
            states = _states(site)
            daemon.stop(signal.SIGKILL)
        assert all(each.exception() for each in cut)
    assert states == {ADDING: "adding", DYING: "deleting", STAYING: "active"}
    assert site.document(ADDING)
    return [puppet.ca.issued[name] for name in (ADDING, DYING)]


def _states(site: Site) -> dict[str, str]:
    nodes = site.client().get("/v1/nodes").json()["nodes"]
    return {node["certname"]: node["state"] for node in nodes}


def test_it_starts_while_puppet_is_down(tmp_path: Path) -> None:
    """It is alive and says what is missing; what needs no Puppet works, the rest is 503, and
    rebuilding the documents works once it is stopped.
    """
    with site_with_puppet(tmp_path) as (site, _):
        pass
    _add_without_puppet(site, "plain.example.com")
    with site.serving() as daemon:
        client = site.client()
        alive, ready = client.get("/healthz"), client.get("/readyz")
        refused = client.add("web.example.com", certificate={})
        deleted = client.call("DELETE", "/v1/nodes/plain.example.com")
        code = daemon.stop()

    assert (alive.status_code, ready.status_code) == (200, 503)
    assert {name: ready.json()[name]["status"] for name in ("ledger", "enc", "ca")} == {
        "ledger": "ok",
        "enc": "ok",
        "ca": "down",
    }
    assert "could not be reached" in ready.json()["ca"]["reason"]
    assert (refused.status_code, slug(refused)) == (503, "backend-unavailable")
    assert refused.headers["Retry-After"] == "10"
    assert (deleted.status_code, code) == (204, 0)
    assert (site.document("web.example.com"), site.document("plain.example.com")) == (None, None)


def _add_without_puppet(site: Site, certname: str) -> None:
    with ledger.open_ledger(site.ledger_url) as store:
        _, intent = store.reserve(Certname(certname), "cloud", Classification(), request_id="r")
        store.activate(intent)
