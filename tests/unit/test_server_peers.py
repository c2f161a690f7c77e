"""Who is connected: counted by peer, and who gives way when there is no room."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from espm.server import peers as module
from espm.server.lobby import Arrival, Lobby
from espm.server.peers import Peers


def arrival(address: str = "192.0.2.1", deadline: float = 100.0) -> Arrival:
    """Return a connection that has just been accepted."""
    return Arrival(Mock(), address, 1, deadline)


@pytest.fixture
def peers() -> Peers:
    """Room for ten, three strangers of each peer."""
    return Peers(10, 3)


@pytest.fixture
def lobby(peers: Peers) -> Lobby:
    """Two seats for each peer."""
    return Lobby(peers, 2)


def enter(lobby: Lobby, address: str, times: int = 1) -> list[Arrival]:
    """Let so many of *address* in, as far as they may; return those who are in."""
    found = []
    for _ in range(times):
        one = arrival(address)
        lobby.enter(one)
        found.append(lobby.next(one.peer))
    return [each for each in found if each]


def test_a_network_of_ipv6_is_one_peer(lobby: Lobby) -> None:
    """Many addresses do not make many peers."""
    inside = [enter(lobby, f"2001:db8::{n:x}") for n in range(1, 6)]

    assert [len(each) for each in inside] == [1, 1, 1, 0, 0]
    assert lobby.crowded("2001:db8::/64")


def test_the_worst_crowd_is_the_first(peers: Peers, lobby: Lobby) -> None:
    """Those who wait count as well, and among equals who came first."""
    enter(lobby, "192.0.2.2")
    enter(lobby, "192.0.2.3", 5)
    enter(lobby, "192.0.2.4")

    assert list(peers.crowds()) == ["192.0.2.3", "192.0.2.2", "192.0.2.4"]
    assert lobby.drop("192.0.2.3")
    assert len(lobby) == 1


def test_who_is_known_comes_after_all_strangers(peers: Peers, lobby: Lobby) -> None:
    """Where a platform was seen, strangers keep their places longest."""
    first, *_ = enter(lobby, "192.0.2.2", 3)
    enter(lobby, "192.0.2.3")
    assert next(peers.crowds()) == "192.0.2.2"
    peers.recognise(first)

    assert peers.knows("192.0.2.2")
    assert list(peers.crowds()) == ["192.0.2.3", "192.0.2.2"]
    assert len(peers.strangers("192.0.2.2")) == 2


def test_nothing_is_left_of_those_who_left(peers: Peers, lobby: Lobby) -> None:
    """No table grows with the number of those who ever came."""
    everybody = [each for n in range(3) for each in enter(lobby, f"192.0.2.{n}", 3)]
    lobby.enter(arrival("192.0.2.9"))
    for each in everybody:
        peers.leave(each)
    lobby.close(before=1000.0)

    assert (peers.open, len(lobby), list(peers.crowds())) == (0, 0, [])
    assert not peers._strangers


def test_acquaintances_are_forgotten_when_there_are_too_many(
    peers: Peers, lobby: Lobby, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one not seen for longest goes, and counts among the strangers again."""
    monkeypatch.setattr(module, "_ACQUAINTANCES", 2)
    seen: list[Any] = []
    for n in range(3):
        one, _other = enter(lobby, f"192.0.2.{n}", 2)
        peers.recognise(one)
        seen.append(one.peer)

    assert [peers.knows(peer) for peer in seen] == [False, True, True]
    assert next(peers.crowds()) == "192.0.2.0"
