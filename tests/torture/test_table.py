"""The tables of docs/reliability.md say what was measured, and nothing else of the page changes."""

from __future__ import annotations

import json
import platform
from typing import TYPE_CHECKING

from tests.torture import table
from tests.torture.results import Result, Retirement

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

KILLS = "killed at a point"


def test_results_of_one_fault_become_one_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests keep their results one by one; the table has the sums, and a block for retirements."""
    monkeypatch.setenv("ESPM_TORTURE_RESULTS", str(tmp_path / "results"))
    Result(KILLS, "fake CA", 1200, 0).keep()
    Result("the disk full", "fake CA", 7, 1).keep()
    Result(KILLS, "fake CA", 34, 0).keep()
    Retirement("DELETE of espm", 500, 64, 500, 0).keep()
    lines = [json.loads(line) for line in (tmp_path / "results").read_text().splitlines()]

    text = table.rendered(lines, "Measured.")

    assert text.startswith("Measured.\n\n| fault |")
    assert f"| {KILLS} | fake CA | 1,234 | 0 |\n| the disk full | fake CA | 7 | 1 |\n" in text
    assert text.endswith("| DELETE of espm | 500 | 64 | 500 | 0 |\n")


def test_nothing_is_kept_without_being_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bounded run has no file, and so leaves the page as it is."""
    monkeypatch.delenv("ESPM_TORTURE_RESULTS", raising=False)
    monkeypatch.chdir(tmp_path)
    Result(KILLS, "fake CA", 1, 0).keep()

    assert not list(tmp_path.iterdir())


def test_only_what_was_written_is_replaced() -> None:
    """The text around stays, and writing twice is writing once."""
    page = f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n"
    once = table.replaced(page, "new\n")

    assert once == f"before\n{table.BEGIN}\n\nnew\n\n{table.END}\nafter\n"
    assert table.replaced(once, "new\n") == once


def test_the_machine_is_described_and_not_named() -> None:
    """Versions, cores and memory, and no host's name."""
    said = table.about()

    assert "Python 3" in said
    assert "cores" in said
    assert platform.node() not in said


def test_the_page_can_be_written() -> None:
    """The page in the repository has the place for the tables."""
    assert "new" in table.replaced(table.PAGE.read_text(), "new")
