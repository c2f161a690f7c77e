"""The watchdog's beats: as often as systemd wants, and only while espm works."""

from __future__ import annotations

import faulthandler
import os
import socket
import threading
import time
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from espm import watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timing


class Part:
    """A part of espm, well until a test says otherwise."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.gone = False

    def look(self) -> str | None:
        """Say how it is; after the test, keep the watchdog's thread, which has no end, quiet."""
        if self.gone:
            threading.Event().wait()
        return self.reason


@pytest.fixture
def part() -> Iterator[Part]:
    """A part that works."""
    made = Part()
    yield made
    made.gone = True


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A service manager that wants a beat every 400 milliseconds, of this process."""
    address = str(tmp_path / "notify")
    monkeypatch.setattr(faulthandler, "enable", lambda: None)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(address)
        channel.settimeout(5)
        yield channel


def _silent(channel: socket.socket, seconds: float) -> bool:
    """Return whether nothing comes for some seconds, apart from what is under way."""
    time.sleep(0.3)
    channel.settimeout(0)
    with suppress(BlockingIOError):
        while channel.recv(99):
            pass
    channel.settimeout(seconds)
    try:
        return not channel.recv(99)
    except TimeoutError:
        return True
    finally:
        channel.settimeout(5)


def test_it_beats_at_half_the_time_that_systemd_gives(systemd: socket.socket, part: Part) -> None:
    """The first beat comes at once; no two are as far apart as systemd waits."""
    begun = time.monotonic()
    assert watchdog.start(part.look)
    beats, times = [], []
    for _ in range(6):
        beats.append(systemd.recv(99))
        times.append(time.monotonic())

    assert set(beats) == {b"WATCHDOG=1"}
    assert times[0] - begun < 0.2
    assert all(after - before < 0.4 for before, after in pairwise(times))
    assert 0.8 < times[5] - times[0] < 1.6


def test_it_is_silent_while_a_part_hangs(
    systemd: socket.socket, part: Part, caplog: pytest.LogCaptureFixture
) -> None:
    """One part of several is enough; the reason is said once, and the beats come again when the
    part goes on.
    """
    assert watchdog.start(lambda: None, part.look)
    systemd.recv(99)
    part.reason = "the door is jammed"

    assert _silent(systemd, 1.0)
    assert caplog.text.count("espm hangs: the door is jammed") == 1

    part.reason = None
    assert systemd.recv(99) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("usec", "pid"),
    [(None, None), ("", None), ("0", None), ("-5", None), ("soon", None), ("400000", "1")],
)
def test_it_does_nothing_unless_it_is_wanted(
    systemd: socket.socket,
    part: Part,
    monkeypatch: pytest.MonkeyPatch,
    usec: str | None,
    pid: str | None,
) -> None:
    """Without a time, with one that is none, or when another process is meant."""
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)):
        monkeypatch.delenv(name)
        if value is not None:
            monkeypatch.setenv(name, value)

    assert not watchdog.start(part.look)
    systemd.settimeout(0.3)
    with pytest.raises(TimeoutError):
        systemd.recv(99)


def test_a_time_for_no_process_in_particular_is_for_us(
    systemd: socket.socket, part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``WATCHDOG_PID`` may be missing."""
    monkeypatch.delenv("WATCHDOG_PID")

    assert watchdog.start(part.look)
    assert systemd.recv(99) == b"WATCHDOG=1"
