"""Answers with a private key stay in memory for a minute, and then are no more."""

from __future__ import annotations

import time

import pytest

from espm.api.delivered import Delivered
from espm.model import ReplayKey

ONE, TWO, THREE = (ReplayKey("cloud", "/v1/nodes", text) for text in ("one", "two", "three"))
HEADERS = {"ETag": '"1.1"'}


class Clock:
    """A clock that stands until it is set."""

    now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


def test_an_answer_is_given_again_for_its_time(clock: Clock) -> None:
    """The same bytes and headers, marked secret; then none, although nobody has wiped it yet."""
    delivered = Delivered(clock=clock)
    delivered.put(ONE, HEADERS, b"key\n")
    clock.now += 59.9
    found = delivered.get(ONE)
    clock.now += 0.1

    assert found is not None
    assert (found.status, found.body, found.headers, found.secret) == (201, b"key\n", HEADERS, True)
    assert delivered.get(ONE) is None
    assert delivered.get(TWO) is None


def test_the_oldest_make_room(clock: Clock) -> None:
    """All answers together have a bound; what goes for it is wiped."""
    delivered = Delivered(most=10, clock=clock)
    delivered.put(ONE, HEADERS, b"1111")
    first = delivered._kept[ONE].body
    delivered.put(TWO, HEADERS, b"2222")
    delivered.put(THREE, HEADERS, b"3333")

    assert delivered.get(ONE) is None
    assert first == bytearray(4)
    assert [each is not None for each in map(delivered.get, (TWO, THREE))] == [True, True]


def test_one_that_is_larger_than_all_room_is_not_kept(clock: Clock) -> None:
    """It is not an error either."""
    delivered = Delivered(most=3, clock=clock)
    delivered.put(ONE, HEADERS, b"1111")

    assert delivered.get(ONE) is None


def test_a_later_answer_takes_the_place_of_the_former(clock: Clock) -> None:
    """Under one key there is one answer, kept for its own time."""
    delivered = Delivered(clock=clock)
    delivered.put(ONE, HEADERS, b"old")
    clock.now += 50
    delivered.put(ONE, HEADERS, b"new")
    clock.now += 50
    found = delivered.get(ONE)

    assert found is not None
    assert found.body == b"new"


@pytest.mark.timing
def test_it_is_wiped_when_nobody_asks() -> None:
    """The bytes are overwritten soon after their time, each at its own."""
    delivered = Delivered(seconds=0.2)
    delivered.put(ONE, HEADERS, b"secret")
    first = delivered._kept[ONE].body
    time.sleep(0.9)
    delivered.put(TWO, HEADERS, b"secret too")
    second = delivered._kept[TWO].body
    for _ in range(100):
        if not delivered._kept:
            break
        time.sleep(0.05)

    assert delivered._kept == {}
    assert (first, second) == (bytearray(6), bytearray(10))
    assert delivered._timer is None
