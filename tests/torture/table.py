"""Writes the tables of docs/reliability.md from what a run of `make torture` kept.

    python -m tests.torture.table build/torture.jsonl

Each line of that file is a :class:`tests.torture.results.Result` or a
:class:`tests.torture.results.Retirement`.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import espm

PAGE = Path(__file__).parents[2] / "docs/reliability.md"

#: What was written by us stands between these.
BEGIN, END = "<!-- written by make torture -->", "<!-- end of what make torture wrote -->"

Line = dict[str, Any]


def main(results: str) -> None:
    """Write the tables of *results* into the page."""
    lines = [json.loads(line) for line in Path(results).read_text().splitlines()]
    PAGE.write_text(replaced(PAGE.read_text(), rendered(lines, about())))


def replaced(page: str, text: str, marks: tuple[str, str] = (BEGIN, END)) -> str:
    """Return *page* with *text* in the place of what was written between the *marks* before."""
    before, begin, rest = page.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    assert begin, f"the page has no {marks[0]}"
    assert end, f"the page has no {marks[1]}"
    return f"{before}{begin}\n\n{text}\n{end}{after}"


def rendered(lines: list[Line], said: str) -> str:
    """Return the tables as Markdown, under what is *said* about the run."""
    faults = [line for line in lines if "fault" in line]
    retired = [line for line in lines if "way" in line]
    parts = [said, "\n".join(_faults(faults)), "\n".join(_retirements(retired)) if retired else ""]
    return "\n\n".join(filter(None, parts)) + "\n"


def _faults(lines: list[Line]) -> list[str]:
    rows = ["| fault | against | times tried | what was lost |", "|---|---|---:|---:|"]
    kinds = list(dict.fromkeys(map(_kind, lines)))
    ordered = sorted(lines, key=lambda line: kinds.index(_kind(line)))
    for (fault, against), group in groupby(ordered, _kind):
        same = list(group)
        tried, lost = (sum(line[name] for line in same) for name in ("tried", "lost"))
        rows.append(f"| {fault} | {against} | {tried:,} | {lost} |")
    return rows


def _kind(line: Line) -> tuple[str, str]:
    return line["fault"], line["against"]


def _retirements(lines: list[Line]) -> list[str]:
    rows = [
        "| retired by | nodes | in parallel | answered with success | of these not in the CRL |",
        "|---|---:|---:|---:|---:|",
    ]
    for line in lines:
        numbers = (line["nodes"], line["parallel"], line["answered"], line["lost"])
        rows.append(f"| {line['way']} | {' | '.join(f'{number:,}' for number in numbers)} |")
    return rows


def about() -> str:
    """Return when, with what and on what this was measured; nothing that names the machine."""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [
        f"espm {espm.__version__}",
        f"Python {platform.python_version()}",
        f"SQLite {sqlite3.sqlite_version}",
        *_packages("puppetserver", "postgresql-15"),
        f"Linux {platform.release().split('-')[0]}",
        f"{os.cpu_count()} cores",
        f"{gigabytes:.0f} GiB",
    ]
    return f"Measured on {datetime.now(UTC):%Y-%m-%d}: {', '.join(parts)}."


def _packages(*names: str) -> list[str]:
    """Return those of *names* that are installed, with their versions."""
    argv = ["dpkg-query", "--show", "--showformat=${Package} ${source:Upstream-Version}\n", *names]
    try:
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        return []
    return [line.replace("-15", "") for line in done.stdout.splitlines()]


if __name__ == "__main__":
    main(*sys.argv[1:])
