"""Whose turn it is: every peer's after every other's, platforms before strangers."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import Any

import pytest

from espm.server.turns import Turns
from tests.api.wire import wait_until

END = object()


@dataclass(eq=False)
class Conn:
    """What :class:`Turns` sees of a connection."""

    peer: str
    preferred: bool = False


def turns() -> Any:
    """Return a queue for three waiting platforms."""
    return Turns(END, 3)


def drain(line: Any) -> list[Any]:
    """Get all that can be got."""
    got = []
    while line.qsize():
        got.append(line.get_nowait())
    return got


def test_peers_take_turns() -> None:
    """One peer with many connections delays the others by one turn."""
    line = turns()
    many = [Conn("a") for _ in range(5)]
    few = [Conn("b"), Conn("c")]
    for conn in (*many, *few):
        line.put(conn)

    assert [conn.peer for conn in drain(line)] == ["a", "b", "c", "a", "a", "a", "a"]


def test_platforms_come_first_and_strangers_every_fourth_time() -> None:
    """A flood of strangers delays platforms little, and a busy platform shuts out nobody."""
    line = turns()
    for _ in range(4):
        line.put(Conn("stranger"))
    for _ in range(3):
        line.put(Conn("platform", preferred=True))

    got = [conn.peer for conn in drain(line)]
    assert got == ["platform"] * 3 + ["stranger"] * 4
    for _ in range(3):
        line.put(Conn("platform", preferred=True))
    line.put(Conn("stranger"))
    assert [conn.peer for conn in drain(line)].index("stranger") < 3


def test_too_many_platforms_are_refused_and_no_stranger() -> None:
    """The queue of platforms is bounded; strangers are by the number of connections."""
    line = turns()
    for _ in range(3):
        line.put(Conn("a", preferred=True))
    with pytest.raises(queue.Full):
        line.put(Conn("a", preferred=True))
    for _ in range(50):
        line.put(Conn("b"))

    assert line.qsize() == 53


def test_a_connection_can_be_taken_back() -> None:
    """It is got by nobody then, and only one who asks has it."""
    line = turns()
    conns = [Conn("a"), Conn("a"), Conn("b", preferred=True)]
    for conn in conns:
        line.put(conn)

    assert [line.take_back(conn) for conn in (*conns, conns[0])] == [True, True, True, False]
    assert line.qsize() == 0


def test_every_thread_ends_behind_the_last_connection() -> None:
    """What waits when the server stops is answered before the threads end."""
    line = turns()
    got: list[Any] = []

    def work() -> None:
        while (conn := line.get()) is not END:
            got.append(conn)

    for item in (END, Conn("a"), END, Conn("b", preferred=True)):
        line.put(item)
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)

    assert {conn.peer for conn in got} == {"a", "b"}
    assert not any(thread.is_alive() for thread in threads)


def test_the_thread_that_was_busy_last_is_the_next() -> None:
    """Of the threads that wait, the one that began to wait last gets what comes."""
    line = turns()
    got: list[str] = []

    def wait(name: str) -> None:
        line.get()
        got.append(name)

    def all_wait() -> bool:
        return len(line.not_empty._waiters) == len(threads)

    threads: list[threading.Thread] = []
    for name in ("first", "second", "last"):
        threads.append(threading.Thread(target=wait, args=(name,)))
        threads[-1].start()
        assert wait_until(all_wait)
    for thread in reversed(threads):
        line.put(Conn("a"))
        thread.join(10)

    assert got == ["last", "second", "first"]
