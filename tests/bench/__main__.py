"""`make bench`: every figure beside its yardstick, as a table, and as a picture of what grows.

``python -m tests.bench [--only GROUP]... [--write]``: only some groups; or all of them, written
into docs/performance.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import (
    asking,
    classes,
    launching,
    page,
    reading,
    remembering,
    retiring,
    starting,
    ways,
)
from tests.bench.figure import keep, say, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.figure import Figure

GROUPS: dict[str, Callable[[], Iterator[Figure]]] = {
    "enc": asking.figures,
    "start": starting.figures,
    "read": reading.figures,
    "classes": classes.figures,
    "launch": launching.figures,
    "retire": retiring.figures,
    "ways": ways.figures,
    "memory": remembering.figures,
}

KEPT = Path("build/bench.jsonl")


def main() -> int:
    """Measure, print the table, and return 1 if a target is not reached."""
    args = _parser().parse_args()
    begin = time.monotonic()
    figures: list[Figure] = []
    for name in args.only or GROUPS:
        say(f"--- {name}")
        figures += GROUPS[name]()
        keep(figures, KEPT)
    say(f"\n{table(figures)}\nmeasured in {time.monotonic() - begin:.0f} s")
    if args.write:
        page.write(figures, retiring.curve())
    return 1 if any(figure.passed is False for figure in figures) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", allow_abbrev=False)
    parser.add_argument("--only", action="append", choices=GROUPS, help="repeat it for more")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
