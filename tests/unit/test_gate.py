"""The gate: so many at a time, the next is told at once, and a place is always given back."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from espm.api.gate import Gate
from espm.errors import TooBusy


def test_only_so_many_wait() -> None:
    """The next is refused without waiting; a place that is left can be taken again."""
    gate = Gate(2)
    with ExitStack() as first:
        with ExitStack() as second:
            first.enter_context(gate.waiting())
            second.enter_context(gate.waiting())
            with pytest.raises(TooBusy, match="try again"):
                first.enter_context(gate.waiting())
        first.enter_context(gate.waiting())
    with gate.waiting(), gate.waiting():
        pass


def test_who_finds_no_place_learns_of_nothing_else() -> None:
    """The log tells of the fault, and not of how places are counted."""
    gate = Gate(1)
    with gate.waiting():
        with pytest.raises(TooBusy) as refused, gate.waiting():
            pass
        assert refused.value.__context__ is None
        with pytest.raises(ZeroDivisionError) as fault, gate.if_room():
            raise ZeroDivisionError
        assert fault.value.__context__ is None


def test_a_failure_gives_its_place_back() -> None:
    """However a request ends, its place is free."""
    gate = Gate(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), gate.waiting():
            raise ZeroDivisionError
    with gate.waiting():
        pass
