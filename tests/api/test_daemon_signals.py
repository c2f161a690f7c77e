"""Signals that come at a bad time: twice, during the start, during a reload."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.api.process import Site, site_with_puppet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fake_puppet import FakePuppet

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, FakePuppet]]:
    """A site beside a fake Puppet; each test starts a daemon of its own."""
    with site_with_puppet(tmp_path_factory.mktemp("signals")) as both:
        yield both


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_does_no_harm(made: tuple[Site, FakePuppet], number: int) -> None:
    """What is in flight is finished all the same, and the bus stops once."""
    site, puppet = made
    name = f"twice{number}.example.com"
    with site.serving() as daemon, ThreadPoolExecutor(1) as pool:
        with puppet.holding("PUT certificate_request") as hold:
            answer = pool.submit(site.client().add, name, certificate={})
            hold.reached()
            daemon.process.send_signal(number)
            daemon.out.wait_for("ENGINE Bus STOPPING")
            for _ in range(3):
                daemon.process.send_signal(number)
            daemon.process.send_signal(signal.SIGHUP)
        status = answer.result().status_code
        code = daemon.ended()

    assert (status, code, daemon.err.text) == (201, 0, "")
    assert daemon.out.text.count("ENGINE Bus STOPPING") == 1


def test_an_end_during_the_start_is_an_ordinary_end(made: tuple[Site, FakePuppet]) -> None:
    """A supervisor that changes its mind does not see a failure."""
    site, _ = made
    with site.start() as daemon:
        daemon.out.wait_for("ENGINE Bus STARTING")

        assert daemon.stop() == 0
        assert daemon.err.text == ""


@pytest.mark.timing
def test_an_end_during_a_reload_does_not_wait_for_puppet(made: tuple[Site, FakePuppet]) -> None:
    """A reload that asks a Puppet which does not answer keeps nobody from ending espm."""
    site, puppet = made
    with site.serving() as daemon, puppet.holding("GET environment_classes") as hold:
        daemon.process.send_signal(signal.SIGHUP)
        hold.reached()
        begun = time.monotonic()

        assert daemon.stop() == 0
        assert time.monotonic() - begun < 10


def test_signals_while_it_writes_lose_no_line(made: tuple[Site, FakePuppet]) -> None:
    """A signal in the middle of a log line neither breaks it nor is lost."""
    site, _ = made
    with site.serving() as daemon:
        for _ in range(30):
            daemon.reload()

        assert daemon.stop() == 0
        assert daemon.err.text == ""
        assert daemon.out.text.count("ENGINE Reloaded.") >= 30
