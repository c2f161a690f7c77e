"""A pace: so many at once, so many again in so many seconds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from espm.pace import Pace


@given(
    most=st.integers(1, 50),
    seconds=st.floats(0.1, 1000),
    gaps=st.lists(st.floats(0, 100), max_size=200),
)
def test_no_span_of_time_holds_more_than_the_pace(
    most: int, seconds: float, gaps: list[float]
) -> None:
    """In any span of the length of the pace come twice the burst at most, one burst at once."""
    pace, now, due, taken = Pace(most, seconds), 0.0, 0.0, list[float]()
    for gap in gaps:
        now += gap
        later = pace.take(due, now)
        if later is not None:
            due = later
            taken.append(now)

    assert all(sum(at - seconds < t <= at for t in taken) <= 2 * most for at in taken)
    assert all(taken.count(at) <= most for at in taken)


def test_after_the_burst_one_comes_at_a_time() -> None:
    """Three at once, the fourth after a third of the time, and the wait says so."""
    pace, due = Pace(3, 30.0), 0.0
    for _ in range(3):
        later = pace.take(due, 100.0)
        assert later is not None
        due = later

    assert pace.take(due, 100.0) is None
    assert abs(pace.wait(due, 100.0) - 10.0) < 1e-6
    assert pace.take(due, 110.0) is not None
    assert pace.wait(0.0, 100.0) == 0.0
