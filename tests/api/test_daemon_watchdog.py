"""systemd's watchdog: the daemon beats while it works, also beside a slow CA, and only then."""

from __future__ import annotations

import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import requests

from tests.api.process import Daemon, Site, site_with_puppet
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fake_puppet import FakePuppet

pytestmark = [pytest.mark.slow, pytest.mark.timing]

#: systemd's patience in the tests, in seconds.
PATIENCE = 2.0
THREADS, PLACES = 8, 2


class Hanging(Daemon):
    """A daemon with a fault in its server."""

    command = (sys.executable, "-m", "tests.api.hanging")


class Systemd:
    """What systemd sees of a service: the states that it sends, with their times."""

    def __init__(self) -> None:
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._channel.bind(f"\0espm-test-{free_port()}")
        self.environment = {
            "NOTIFY_SOCKET": "@" + self._channel.getsockname()[1:].decode(),
            "WATCHDOG_USEC": str(int(PATIENCE * 1_000_000)),
        }

    def expect(self, state: bytes, seconds: float = 20) -> None:
        """Wait for *state*; what comes before is passed over."""
        self._channel.settimeout(seconds)
        while self._channel.recv(99) != state:
            pass

    def beats_for(self, seconds: float) -> bool:
        """Return whether it never has to wait longer for a beat than it has patience."""
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                self.expect(b"WATCHDOG=1", PATIENCE)
        except TimeoutError:
            return False
        return True

    def loses_patience(self, seconds: float = 20) -> bool:
        """Return whether the beats stop in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not self.beats_for(0.1):
                return True
        return False

    def close(self) -> None:
        """Go away."""
        self._channel.close()


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    """A service manager with little patience."""
    made = Systemd()
    yield made
    made.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, FakePuppet]]:
    """A site beside a fake Puppet; each test starts a daemon of its own."""
    with site_with_puppet(tmp_path_factory.mktemp("watchdog")) as both:
        yield both


def test_it_beats_until_its_end_also_beside_a_slow_ca(
    made: tuple[Site, FakePuppet], systemd: Systemd
) -> None:
    """Every request that may wait for the CA waits, then another waits through the end of espm."""
    site, puppet = made
    with site.serving(**systemd.environment) as daemon, ThreadPoolExecutor(PLACES) as pool:
        systemd.expect(b"READY=1")
        with puppet.holding("PUT certificate_request") as hold:
            waiting = [
                pool.submit(site.client().add, f"slow{n}.example.com", certificate={})
                for n in range(PLACES)
            ]
            hold.reached(PLACES)
            beats = systemd.beats_for(3 * PATIENCE)
            daemon.process.send_signal(signal.SIGTERM)
            systemd.expect(b"STOPPING=1")
            beats_at_its_end = systemd.beats_for(2 * PATIENCE)
        added = [each.result().status_code for each in waiting]
        code = daemon.ended()

    assert (beats, beats_at_its_end) == (True, True)
    assert (added, code, daemon.err.text) == ([201, 201], 0, "")


@pytest.mark.parametrize(
    ("part", "words"),
    [("accept", "nobody has looked for connections"), ("threads", "all 8 threads are busy")],
)
def test_a_server_that_hangs_is_given_up(
    made: tuple[Site, FakePuppet], systemd: Systemd, part: str, words: str
) -> None:
    """The beats stop and the log says why; ended as systemd does it, it says where its threads
    were.
    """
    site, _ = made
    hang = site.directory / f"hang-{part}"
    environment = {**systemd.environment, "HANG": str(hang)}
    with Hanging("-c", site.ini, **environment) as daemon:
        daemon.out.wait_for("ENGINE Bus STARTED")
        systemd.expect(b"READY=1")
        well = systemd.beats_for(2 * PATIENCE)
        hang.write_text(part)
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in range(THREADS):
                pool.submit(_knock, site)
        lost = systemd.loses_patience()
        said = daemon.out.wait_for("espm hangs: ")
        code = daemon.stop(signal.SIGABRT)

    assert (well, lost, code) == (True, True, -signal.SIGABRT)
    assert words in said
    assert "Fatal Python error: Aborted" in daemon.err.text
    assert "hangs" in daemon.err.text.split("Thread 0x", 1)[1]


def _knock(site: Site) -> None:
    client = site.client(None)
    with suppress(requests.RequestException):
        client.session.get(client.url + "/healthz", verify=client.ca_file, timeout=1)


def test_a_process_that_is_stopped_is_given_up(
    made: tuple[Site, FakePuppet], systemd: Systemd
) -> None:
    """The plainest way to hang."""
    site, _ = made
    with site.serving(**systemd.environment) as daemon:
        systemd.expect(b"READY=1")
        systemd.expect(b"WATCHDOG=1")
        daemon.process.send_signal(signal.SIGSTOP)

        assert systemd.loses_patience(5 * PATIENCE)
        daemon.process.send_signal(signal.SIGCONT)
        assert systemd.beats_for(PATIENCE)
        assert daemon.stop() == 0
