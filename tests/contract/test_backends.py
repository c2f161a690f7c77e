"""The tables of what each backend can do say what the backends and the contract suites say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from espm.config import spec as configspec

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/backends.md").read_text()

#: The heading of each table, and the suite that every column is held to.
TABLES = {
    "ca": ("### What a platform can ask of each CA", "test_ca.py"),
    "classifier": ("### What a platform can say with each classifier", "test_classifier.py"),
}


def table(port: str) -> tuple[list[str], dict[str, list[str]]]:
    """Return the names of the columns, and the cells of each row by the word it begins with."""
    text = PAGE.partition(f"\n{TABLES[port][0]}\n")[2].partition("\n#")[0]
    head, _, *rows = [line.strip("|").split("|") for line in text.splitlines() if line[:1] == "|"]
    cells = {row[0].strip().strip("`"): [cell.strip() for cell in row[1:]] for row in rows}
    return [name.strip().strip("`") for name in head[1:]], cells


@pytest.mark.parametrize("port", TABLES)
def test_the_table_has_every_backend_and_no_other(port: str) -> None:
    """In the order of the configuration."""
    assert table(port)[0] == list(configspec.BACKENDS[port])


@pytest.mark.parametrize(("port", "name"), list(configspec.backend_names()))
def test_a_cell_says_what_the_backend_says(port: str, name: str) -> None:
    """Yes, perhaps with a limit behind it, is what whoami shows; no is what it does not."""
    names, rows = table(port)
    column = names.index(name)
    can = configspec.backend(port, name).CAN
    said = {word for word, cells in rows.items() if re.match(r"yes\b", cells[column])}

    assert said == set(can)
    assert all(re.match(r"(yes|no)\b", cell) for cells in rows.values() for cell in cells)


@pytest.mark.slow
@pytest.mark.parametrize("port", TABLES)
def test_every_backend_is_held_to_the_contract(port: str) -> None:
    """Each one's name is in the parameters of its suite."""
    suite = Path(__file__).with_name(TABLES[port][1])
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*words, str(suite)], check=True, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    ids = set(re.findall(r"\[(.+)\]$", done.stdout, re.MULTILINE))

    assert {
        name for name in configspec.BACKENDS[port] if not any(name in each for each in ids)
    } == set()
