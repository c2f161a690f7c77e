"""What several ask for at the same time, done by one of them for all."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from espm.errors import BackendSilent
from espm.log import request_id
from espm.together import MOST, Together
from tests.api.wire import wait_until

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
        assert wait_until(lambda: len(self.together._queue) == number, 10)
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
    """What the first took out of the queue and did not do is done by the next."""
    held = Held()
    done: list[str] = []

    def work(names: Sequence[str]) -> Sequence[str]:
        held.work(names)
        if len(names) == 4:
            raise SystemExit
        return names

    def ask(name: str) -> None:
        with suppress(SystemExit):
            done.append(held.together.ask(name))

    held.together = Together(work)
    held.asked_by(4, ask)

    first = held.batches[1][0]
    assert sorted(done) == sorted({"first", "n0", "n1", "n2", "n3"} - {first})


def test_who_is_done_does_not_wait_for_the_next() -> None:
    """What they asked for has begun, and they have more to do."""
    held = Held()
    done: list[str] = []
    go_on = threading.Event()

    def ask(name: str) -> None:
        done.append(held.together.ask(name))

    late = threading.Thread(target=ask, args=["late"])

    def work(names: Sequence[str]) -> Sequence[str]:
        if "n1" in names:
            late.start()
            assert wait_until(lambda: len(held.together._queue) == 1, 10)
        if "late" in names:
            go_on.wait(10)
        return held.work(names)

    held.together = Together(work)
    held.asked_by(8, ask)
    assert len(done) == 9

    go_on.set()
    late.join(10)
    assert done[9:] == ["LATE"]


def test_patience_has_an_end() -> None:
    """Who waits longer for another's work takes back what it asked for; the others go on."""
    held = Held()
    held.together = Together(held.work, patience=0.05)
    done: list[str] = []
    first = threading.Thread(target=lambda: done.append(held.together.ask("first")))
    first.start()
    assert held.begun.wait(10)

    with pytest.raises(TimeoutError, match="still under way"):
        held.together.ask("second")

    held.go.set()
    first.join(10)
    assert held.together.ask("third") == "THIRD"
    assert (done, held.batches) == (["FIRST"], [["first"], ["third"]])


def test_what_has_begun_is_waited_for() -> None:
    """Patience is for the beginning: nobody is told that nothing was done while it is."""
    held = Held()

    def work(names: Sequence[str]) -> Sequence[str]:
        found = held.work(names)
        if len(names) > 1:
            time.sleep(0.3)
        return found

    held.together = Together(work, patience=0.1)
    done: list[str] = []
    held.asked_by(4, lambda name: done.append(held.together.ask(name)))

    assert sorted(done) == ["FIRST", "N0", "N1", "N2", "N3"]


def test_what_is_done_for_several_is_no_single_requests() -> None:
    """Lines that are logged meanwhile would have the id of whoever came first."""
    held = Held()
    ids: dict[int, str] = {}

    def work(names: Sequence[str]) -> Sequence[str]:
        ids[len(names)] = request_id.get()
        return held.work(names)

    def ask(name: str) -> None:
        request_id.set(f"req-{name}")
        held.together.ask(name)
        assert request_id.get() == f"req-{name}"

    held.together = Together(work)
    held.asked_by(4, ask)

    assert ids == {1: "req-first", 4: "-"}


def test_what_failed_is_not_kept_in_memory() -> None:
    """Neither the exceptions nor what those who asked had at hand."""

    class Big:
        """Something at hand."""

    def ask() -> weakref.ref[Big]:
        big = Big()
        with suppress(BackendSilent):
            Together(_fails).ask("web")
        return weakref.ref(big)

    gc.disable()
    try:
        assert ask()() is None
    finally:
        gc.enable()


def test_an_exception_that_cannot_be_copied_is_shared() -> None:
    """Better the same one for all than another one."""

    class OddError(Exception):
        """Takes more than it keeps."""

        def __init__(self, one: str, two: str) -> None:
            super().__init__(one + two)

    held = Held()
    errors: list[Exception] = []

    def work(names: Sequence[str]) -> Sequence[str]:
        held.work(names)
        raise OddError(*"od")

    def ask(name: str) -> None:
        try:
            held.together.ask(name)
        except OddError as error:
            errors.append(error)

    held.together = Together(work)
    held.asked_by(3, ask)

    assert [str(error) for error in errors] == ["od"] * 4


def _fails(_: Sequence[str]) -> Sequence[str]:
    msg = "away"
    raise BackendSilent(msg)


def test_an_answer_for_each_is_insisted_on() -> None:
    """Where one is missing nobody gets another one's."""
    with pytest.raises(ValueError, match="shorter"):
        Together[str, str](lambda _: []).ask("web")
