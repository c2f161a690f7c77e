"""SIGHUP: keys, TLS files and groups are taken over, each by itself, and nobody is cut off."""

from __future__ import annotations

import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import requests
import trustme

from tests.api.platform import GROUPS, PSK
from tests.api.process import Daemon, Site, digest, site_with_puppet

if TYPE_CHECKING:
    from collections.abc import Iterator

NEW_PSK = "n" * 48


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[socket.socket]:
    """A service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path_factory.mktemp("systemd") / "notify"))
        channel.settimeout(10)
        yield channel


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site beside a fake Puppet."""
    with site_with_puppet(tmp_path_factory.mktemp("reload")) as (made, _):
        yield made


@pytest.fixture(scope="module")
def running(site: Site, manager: socket.socket) -> Iterator[Daemon]:
    """A daemon that all tests here share."""
    with site.serving(NOTIFY_SOCKET=manager.getsockname()) as daemon:
        assert manager.recv(4096) == b"READY=1"
        yield daemon
        assert daemon.stop() == 0
        assert daemon.err.text == ""


@pytest.fixture
def daemon(running: Daemon, site: Site, manager: socket.socket) -> Iterator[Daemon]:
    """The daemon; what a test did to the configuration is taken back."""
    yield running
    site.groups(GROUPS)
    site.sample.platform(psk_sha256=digest(PSK))
    site.sample.write()
    # A reload that was still under way may have read a file while it was written.
    assert any("Reloaded.\n" in running.reload() + "\n" for _ in range(3))
    _drain(manager)


def _drain(manager: socket.socket) -> list[bytes]:
    found = []
    manager.settimeout(0)
    try:
        while True:
            found.append(manager.recv(4096))
    except BlockingIOError:
        manager.settimeout(10)
    return found


def test_a_key_is_exchanged(daemon: Daemon, site: Site) -> None:
    """The old key is refused and the new one accepted, without a restart."""
    site.sample.platform(psk_sha256=digest(NEW_PSK))
    site.sample.write()
    before = site.client().get("/v1/nodes").status_code
    daemon.reload()
    after = [site.client(psk).get("/v1/nodes").status_code for psk in (PSK, NEW_PSK)]

    assert (before, after) == (200, [401, 200])


@pytest.mark.parametrize("key_type", [trustme.KeyType.RSA, trustme.KeyType.ECDSA])
def test_a_certificate_is_exchanged(daemon: Daemon, site: Site, key_type: trustme.KeyType) -> None:
    """New connections get the new certificate, of whatever key; an open one goes on."""
    kept = site.client()
    old = site.directory / "old-ca.pem"
    old.write_bytes((site.directory / "server-ca.pem").read_bytes())
    kept.ca_file = str(old)
    assert kept.get("/v1/nodes").status_code == 200
    site.certificate(key_type)
    daemon.reload()
    still = kept.get("/v1/nodes").status_code
    renewed = site.client().get("/v1/nodes").status_code
    stale = site.client()
    stale.ca_file = str(old)
    with pytest.raises(requests.exceptions.SSLError):
        stale.get("/v1/nodes")

    assert (still, renewed) == (200, 200)


def test_groups_are_rendered_anew(daemon: Daemon, site: Site) -> None:
    """The document of a node that is in a changed group changes."""
    site.client().add("grouped.example.com", groups=["base"])
    site.groups(GROUPS.replace("ntp.example.com", "ntp2.example.com"))
    said = daemon.reload()
    document = site.document("grouped.example.com") or ""

    assert "reloaded groups" in said
    assert "ntp2.example.com" in document
    assert site.client("x").get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("groups", "word"),
    [
        ("groups: [", "groups.yaml"),
        ("groups:\n  - name: a\n    parent: b\n  - name: b\n    parent: a\n", "a"),
        ("groups:\n  - name: base\n    classes: {nosuch: {}}\n", "nosuch"),
    ],
    ids=["unreadable", "loop", "class that Puppet does not have"],
)
def test_wrong_groups_do_not_keep_a_new_key_back(
    daemon: Daemon, site: Site, groups: str, word: str
) -> None:
    """The old groups stay in force, the log says why, and the new key counts."""
    site.groups(groups)
    site.sample.platform(psk_sha256=digest(NEW_PSK))
    site.sample.write()
    said = daemon.reload()
    answer = site.client(NEW_PSK).get("/v1/groups")

    assert "groups not reloaded: " in said
    assert word in said
    assert "ENGINE Reloaded in part; see above." in said
    assert "Traceback" not in said
    assert [group["name"] for group in answer.json()["groups"]] == ["base", "staging", "web"]


def test_a_wrong_configuration_does_not_keep_new_groups_back(daemon: Daemon, site: Site) -> None:
    """The old keys stay in force, the log names each fault, and the new groups count."""
    site.sample.platform(psk_sha256="nonsense", certname="x")
    site.sample.write()
    site.groups(GROUPS.replace("name: staging", "name: testing"))
    said = daemon.reload()
    del site.sample.platforms["cloud"]["certname"]
    names = [group["name"] for group in site.client().get("/v1/groups").json()["groups"]]

    assert said.count("TLS files not reloaded: ") == 2
    assert "did you mean certnames?" in said
    assert names == ["base", "testing", "web"]


def test_a_certificate_without_its_key_is_not_taken_over(daemon: Daemon, site: Site) -> None:
    """The old pair is served on, and the log says which file is wrong."""
    key = site.sample.server_key.read_bytes()
    other = trustme.CA().issue_cert("127.0.0.1")
    other.private_key_pem.write_to_path(site.sample.server_key)
    said = daemon.reload()
    site.sample.server_key.write_bytes(key)

    assert "TLS files not reloaded: " in said
    assert "is not the key of" in said
    assert site.client().get("/v1/nodes").status_code == 200


def test_a_leaked_key_goes_while_a_file_is_wrong(daemon: Daemon, site: Site) -> None:
    """Preshared keys are exchanged whatever is wrong with the files that the ini names."""
    site.sample.server_key.chmod(0o644)
    site.sample.platform(psk_sha256=digest(NEW_PSK))
    site.sample.write()
    said = daemon.reload()
    site.sample.server_key.chmod(0o640)
    codes = [site.client(key).get("/v1/nodes").status_code for key in (PSK, NEW_PSK)]

    assert "TLS files not reloaded: " in said
    assert codes == [401, 200]


def test_a_reload_under_load_loses_no_request(daemon: Daemon, site: Site) -> None:
    """Every request of clients that go on calling meanwhile gets its answer."""
    ended = threading.Event()
    statuses: list[int] = []
    seen = threading.Semaphore(0)

    def call() -> None:
        client = site.client()
        while not ended.is_set():
            statuses.append(client.get("/v1/nodes").status_code)
            seen.release()

    with ThreadPoolExecutor(4) as pool:
        callers = [pool.submit(call) for _ in range(4)]
        for key_type in (trustme.KeyType.RSA, trustme.KeyType.ECDSA):
            site.certificate(key_type)
            daemon.reload()
            assert all(seen.acquire(timeout=10) for _ in range(8))
        ended.set()
    for caller in callers:
        caller.result()

    assert set(statuses) == {200}


def test_the_service_manager_knows_when_it_reloads(daemon: Daemon, manager: socket.socket) -> None:
    """systemd 253 and later want the clock's reading with RELOADING."""
    _drain(manager)
    daemon.reload()
    told = [manager.recv(4096).decode() for _ in range(2)]
    begun = dict(line.split("=") for line in told[0].splitlines())

    assert begun["RELOADING"] == "1"
    assert int(begun["MONOTONIC_USEC"]) > 0
    assert told[1] == "READY=1"


def test_reloads_in_a_row_are_all_obeyed(daemon: Daemon, site: Site) -> None:
    """The state after many signals is that of the files."""
    site.sample.platform(psk_sha256=digest(NEW_PSK))
    site.sample.write()
    for _ in range(5):
        daemon.process.send_signal(signal.SIGHUP)
    daemon.reload()

    assert site.client(NEW_PSK).get("/v1/nodes").status_code == 200
