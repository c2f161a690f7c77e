"""sd_notify: a service manager is told, and its absence is no error."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from espm import notify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def _manager(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(address)
        channel.settimeout(5)
        yield channel


def test_states_arrive_as_one_datagram(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each state is a line of it."""
    address = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with _manager(address) as channel:
        assert notify.notify("READY=1", "STATUS=well")
        assert channel.recv(99) == b"READY=1\nSTATUS=well"


def test_an_abstract_address_is_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """``@`` stands for the NUL that such an address begins with."""
    with _manager("\0espm-test-notify") as channel:
        monkeypatch.setenv("NOTIFY_SOCKET", "@espm-test-notify")

        assert notify.notify("STOPPING=1")
        assert channel.recv(99) == b"STOPPING=1"


def test_a_reload_comes_with_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In microseconds of the clock that systemd compares with."""
    address = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    before = time.monotonic_ns() // 1000
    with _manager(address) as channel:
        assert notify.reloading()
        first, second = channel.recv(99).decode().splitlines()

    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize("address", [None, "", "relative/path", "vsock:2:1234"])
def test_without_a_socket_nothing_is_sent(
    monkeypatch: pytest.MonkeyPatch, address: str | None
) -> None:
    """Unset, empty or of another kind: nobody listens."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)

    assert not notify.notify("READY=1")


def test_a_manager_that_went_away_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and espm goes on."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))

    assert not notify.notify("READY=1")
    assert "does not listen: No such file" in caplog.text
