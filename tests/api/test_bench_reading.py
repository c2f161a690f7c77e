"""The reads that `make bench` measures reach espm and the bare handler, on the one server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from espm import log
from tests.bench import reading

if TYPE_CHECKING:
    import pytest


def test_reads_and_their_yardstick_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request has its rate on both sides; an answer that is another one would have raised."""
    monkeypatch.setattr(log, "configure", lambda **_: None)  # The other tests have theirs.
    monkeypatch.setattr(reading, "ROWS", (1_000,))
    for name, value in (("TURNS", 1), ("EACH", 2), ("WARM_UP", 0)):
        monkeypatch.setattr(reading, name, value)

    figures = list(reading.figures())

    assert [len(figure.ratios) for figure in figures] == [1] * len(reading.ASKS)
    assert all(rate > 0 for figure in figures for rate in (*figure.ours, *figure.theirs))
