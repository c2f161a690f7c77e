"""What a benchmark found: our figure beside its yardstick's, as a ratio, and what it has to reach.

A figure alone tells little of our code on a machine that nobody knows, so figure and yardstick
take turns in one run, and the ratio of each turn is what counts.
"""

from __future__ import annotations

import json
import statistics
import sys
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """A row of the table.

    :ivar group: which benchmark it is of, for ``make bench ONLY=...``.
    :ivar work: what was done; *yardstick*: what it is held against.
    :ivar ours: what each turn measured of ours, in *unit*; *theirs*: of the yardstick.
    :ivar unit: ``ms`` (less is better), ``/s`` (more is better) or ``MB``.
    :ivar reach: the bound of *ratio*: at least it where more is better, else at most; None where
        there is no target.
    :ivar best: the highest value that *ours* may have whatever the yardstick does, if any.
    """

    group: str
    work: str
    yardstick: str
    ours: list[float]
    theirs: list[float]
    unit: str
    reach: float | None = None
    best: float | None = None
    notes: str = ""
    ratios: list[float] = field(init=False)

    def __post_init__(self) -> None:
        """Pair the turns."""
        pairs = zip(self.ours, self.theirs, strict=True)
        object.__setattr__(self, "ratios", [ours / theirs for ours, theirs in pairs])

    @property
    def ratio(self) -> float:
        """The median of the turns' ratios."""
        return statistics.median(self.ratios)

    @property
    def more_is_better(self) -> bool:
        """Whether the unit is a rate."""
        return self.unit == "/s"

    @property
    def passed(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if self.reach is None and self.best is None:
            return None
        return self._ratio_passed() and (self.best is None or median(self.ours) <= self.best)

    def _ratio_passed(self) -> bool:
        if self.reach is None:
            return True
        return self.ratio >= self.reach if self.more_is_better else self.ratio <= self.reach

    def cells(self) -> list[str]:
        """Return the cells of the row."""
        return [
            self.work,
            self.yardstick,
            shown(self.ours, self.unit),
            shown(self.theirs, self.unit),
            f"{self.ratio:.2f} ({min(self.ratios):.2f} to {max(self.ratios):.2f})",
            self._target(),
            {True: "reached", False: "**short**", None: ""}[self.passed],
        ]

    def _target(self) -> str:
        sign = "at least" if self.more_is_better else "at most"
        parts = [] if self.reach is None else [f"{sign} {self.reach:g}"]
        parts += [] if self.best is None else [f"at most {self.best:g} {self.unit}"]
        return ", ".join(parts)


HEAD = ["work", "yardstick", "ours", "yardstick's", "ratio (least to most)", "target", ""]


def median(values: list[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def shown(values: list[float], unit: str) -> str:
    """Return median and range of *values* for a reader."""
    middle, least, most = (_number(each) for each in (median(values), min(values), max(values)))
    spread = "" if len(values) == 1 else f" ({least} to {most})"
    return f"{middle}{spread} {unit}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(figures: list[Figure]) -> str:
    """Return *figures* as a table of Markdown."""
    rows = [HEAD, ["---"] * len(HEAD), *(figure.cells() for figure in figures)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def keep(figures: list[Figure], path: Path) -> None:
    """Write *figures* to *path*, one JSON object to a line."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(asdict(figure)) + "\n" for figure in figures))


def kept(path: Path) -> Iterator[Figure]:
    """Yield the figures that :func:`keep` wrote to *path*."""
    for line in path.read_text().splitlines():
        values = json.loads(line)
        values.pop("ratios")
        yield Figure(**values)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def announce(figure: Figure) -> Figure:
    """Print a figure as soon as it is there, and return it."""
    cells = figure.cells()
    say(f"{cells[0]}: {cells[2]}; {cells[1]}: {cells[3]}; ratio {cells[4]} {cells[5]} {cells[6]}")
    return figure
