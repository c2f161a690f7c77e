"""The threat model names tests that exist, and says of each attack what stops it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text()

#: Who attacks, by heading, with what is said about each.
ATTACKERS = dict(
    part.split("\n", 1)
    for part in PAGE.partition("\n## Who attacks\n")[2].partition("\n## ")[0].split("\n### ")[1:]
)
NAMED = sorted(set(re.findall(r"`([^`\s]+::[^`\s]+)`", PAGE)))
ROWS = [
    (who, row)
    for who, text in ATTACKERS.items()
    for row in re.findall(r"(?m)^\| (?!attempt |looks for )([^-].*) \|$", text)
]


@cache
def _tests(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_attackers_are_found() -> None:
    """Otherwise the other tests here would have nothing to look at."""
    assert {"A stranger on the network", "A man in the middle"} <= set(ATTACKERS)
    assert len(NAMED) > 60
    assert len(ROWS) > 30


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_is_named_exists(name: str) -> None:
    """One that was renamed or removed is missed."""
    path, _, function = name.partition("::")

    assert function.startswith("test_")
    assert function in _tests(path)


@pytest.mark.parametrize(("who", "row"), ROWS, ids=[row[:40] for _, row in ROWS])
def test_what_is_said_is_shown(who: str, row: str) -> None:
    """Each row says what is tried, what stops it, and names a test."""
    attempt, stops, shown = row.split(" | ")

    assert all((attempt.strip(), stops.strip()))
    assert all(re.fullmatch(r"`tests/\S+::\S+`", each) for each in shown.split(", "))


@pytest.mark.parametrize("who", ATTACKERS)
def test_what_is_not_stopped_is_said(who: str) -> None:
    """A model without gaps is not true."""
    assert re.search(r"(?m)^(Not stopped: |.*espm cannot protect )", ATTACKERS[who]), who
