"""Writes what a run of `make bench` measured into docs/performance.md, with a picture beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from tests.bench.figure import table
from tests.torture.table import about, replaced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.bench.figure import Figure

DOCS = Path(__file__).parents[2] / "docs"
PAGE, PICTURE = DOCS / "performance.md", DOCS / "images/retire.svg"

#: What was written by us stands between these.
MARKS = ("<!-- written by make bench -->", "<!-- end of what make bench wrote -->")


def write(figures: Sequence[Figure], curve: Mapping[str, Sequence[float]]) -> None:
    """Put table and picture in the place of those that were there before."""
    text = f"{about()}\n\n{table(list(figures))}"
    PAGE.write_text(replaced(PAGE.read_text(), text, MARKS))
    draw(curve, PICTURE)


def draw(curve: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draw what a retirement costs, over the size of the CRL.

    :param curve: ``entries`` of the CRL, and the milliseconds for each of the other names.
    """
    # The same numbers make the same file: no date, and names that do not change.
    mpl.rcParams["svg.hashsalt"] = "espm"
    canvas = Canvas(figsize=(7, 4), layout="constrained")
    axes = canvas.subplots()
    for name, values in curve.items():
        if name != "entries":
            axes.plot(curve["entries"], values, marker="o", label=name)
    axes.set(xlabel="entries in the CRL", ylabel="milliseconds for a node", yscale="log")
    axes.set_title("Retiring a node, proved in the CRL")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    path.parent.mkdir(exist_ok=True)
    canvas.savefig(path, metadata={"Date": None})
