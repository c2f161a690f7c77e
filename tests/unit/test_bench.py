"""What `make bench` says of its figures is what they are."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from tests.bench import page
from tests.bench.calls import Caller
from tests.bench.figure import Figure, keep, kept, table

if TYPE_CHECKING:
    from pathlib import Path


def figure(ours: list[float], unit: str, reach: float | None, best: float | None = None) -> Figure:
    """Return a figure whose yardstick measured 10 each time."""
    return Figure("group", "work", "yardstick", ours, [10.0] * len(ours), unit, reach, best)


@pytest.mark.parametrize(
    ("ours", "unit", "reach", "best", "passed"),
    [
        ([9.0, 8.0, 1.0], "/s", 0.8, None, True),
        ([7.0], "/s", 0.8, None, False),
        ([12.0, 99.0, 11.0], "ms", 1.2, None, True),
        ([13.0], "ms", 1.2, None, False),
        ([12.0], "MB", 1.2, 11.0, False),
        ([12.0], "ms", None, 12.0, True),
        ([12.0], "ms", None, None, None),
    ],
)
def test_a_target_is_reached_by_the_median(
    ours: list[float], unit: str, reach: float | None, best: float | None, *, passed: bool | None
) -> None:
    """Rates are to be high, times and sizes low, and a bound holds beside the ratio."""
    assert figure(ours, unit, reach, best).passed is passed


def test_a_row_has_medians_ranges_and_the_target() -> None:
    """Whoever reads it sees how much the turns differed, and where it is short."""
    text = table([figure([10.0, 30.0, 20.0], "ms", 1.5)])

    assert "| work | yardstick | 20 (10 to 30) ms | 10 (10 to 10) ms |" in text
    assert "| 2.00 (1.00 to 3.00) | at most 1.5 | **short** |" in text


def test_a_client_is_connected_before_the_clock_starts() -> None:
    """A handshake costs Puppet Server as much as a call, and nobody keeps it out of a turn else."""
    with pytest.raises(ConnectionRefusedError):
        Caller("https://127.0.0.1:1", ssl.create_default_context(), {})


def test_figures_are_kept_and_read_again(tmp_path: Path) -> None:
    """So that a table can be made of a run that is over."""
    path = tmp_path / "build/bench.jsonl"
    figures = [figure([1.0], "ms", None), figure([2.0, 3.0], "/s", 0.5)]
    keep(figures, path)

    assert list(kept(path)) == figures


def test_the_page_has_a_place_for_the_table() -> None:
    """Both marks are there, once, in their order."""
    text = page.PAGE.read_text()

    assert [text.count(mark) for mark in page.MARKS] == [1, 1]
    assert text.index(page.MARKS[0]) < text.index(page.MARKS[1])


def test_the_same_numbers_make_the_same_picture(tmp_path: Path) -> None:
    """A picture changes in the repository when what it shows does."""
    curve = {"entries": [0.0, 1000.0], "espm": [5.0, 6.0], "one by one": [30.0, 60.0]}
    for name in ("one.svg", "two.svg"):
        page.draw(curve, tmp_path / name)

    assert (tmp_path / "one.svg").read_text() == (tmp_path / "two.svg").read_text()
    assert "one by one" in (tmp_path / "one.svg").read_text()
