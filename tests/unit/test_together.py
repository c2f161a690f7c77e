"""What several ask for at the same time, done by one of them for all."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from espm.errors import BackendSilent
from espm.log import request_id
from espm.together import MOST, Together

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Held:
    """Does work for whoever asks, and the first of it only when it is told to go on."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.begun, self.go = threading.Event(), threading.Event()
        self.together = Together(self.work)

    def work(self, names: Sequence[str]) -> Sequence[str]:
        """Return the names in capitals, as soon as it may."""
        self.batches.append(list(names))
        self.begun.set()
        self.go.wait(10)
        return [name.upper() for name in names]

    def asked_by(self, number: int, ask: Callable[[str], object]) -> None:
        """Have *ask* called by a first thread, and by *number* more while that one is at work."""
        threads = [threading.Thread(target=ask, args=["first"])]
        threads[0].start()
        assert self.begun.wait(10)
        threads += [threading.Thread(target=ask, args=[f"n{each}"]) for each in range(number)]
        for thread in threads[1:]:
            thread.start()
        deadline = time.monotonic() + 10
        while len(self.together._queue) < number:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self.go.set()
        for thread in threads:
            thread.join(10)


def test_those_who_come_meanwhile_go_together() -> None:
    """The first takes those along who are there, and each gets what came of its own."""
    held = Held()
    done: dict[str, str] = {}

    def ask(name: str) -> None:
        done[name] = held.together.ask(name)

    held.asked_by(MOST + 20, ask)

    assert [len(batch) for batch in held.batches] == [1, MOST, 20]
    assert sorted(name for batch in held.batches for name in batch) == sorted(done)
    assert len(done) == MOST + 21
    assert all(result == name.upper() for name, result in done.items())


def test_the_first_waits_for_others_if_it_is_to() -> None:
    """With a window, those who come within it are in the first batch already."""
    batches: list[int] = []

    def work(names: Sequence[str]) -> Sequence[str]:
        batches.append(len(names))
        return names

    together = Together(work, window=0.5)
    threads = [threading.Thread(target=together.ask, args=[f"n{each}"]) for each in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert batches == [5]


def test_what_fails_for_all_is_raised_by_each() -> None:
    """Each has an exception of its own, with the same words and the same cause."""
    held = Held()
    errors: list[BackendSilent] = []

    def ask(name: str) -> None:
        try:
            held.together.ask(name)
        except BackendSilent as error:
            errors.append(error)

    def work(names: Sequence[str]) -> Sequence[str]:
        held.work(names)
        msg = "away"
        raise BackendSilent(msg) from TimeoutError("late")

    held.together = Together(work)
    held.asked_by(4, ask)

    assert [str(error) for error in errors] == ["away"] * 5
    assert len({id(error) for error in errors}) == 5
    assert [str(error.__cause__) for error in errors] == ["late"] * 5


def test_who_is_killed_at_work_takes_nobody_along() -> None:
    """What the first took out of the queue and did not do is done by each itself."""
    held = Held()
    done: list[str] = []

    def work(names: Sequence[str]) -> Sequence[str]:
        held.work(names)
        if "n1" in names and len(names) > 1:
            raise SystemExit
        return names

    def ask(name: str) -> None:
        with suppress(SystemExit):
            done.append(held.together.ask(name))

    held.together = Together(work)
    held.asked_by(4, ask)

    first = held.batches[1][0]
    assert sorted(done) == sorted({"first", "n0", "n1", "n2", "n3"} - {first})


def test_what_is_done_for_several_is_no_single_requests() -> None:
    """Lines that are logged meanwhile would have the id of whoever came first."""
    ids = Together[str, str](lambda names: [request_id.get() for _ in names])
    token = request_id.set("req-1")
    try:
        assert ids.ask("web") == "-"
        assert request_id.get() == "req-1"
    finally:
        request_id.reset(token)


def test_an_answer_for_each_is_insisted_on() -> None:
    """Where one is missing nobody gets another one's."""
    with pytest.raises(ValueError, match="shorter"):
        Together[str, str](lambda _: []).ask("web")
