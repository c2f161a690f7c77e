"""How long espm takes until it serves, beside the import of libraries it cannot do without."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.api.process import site_with_puppet
from tests.bench.figure import Figure, announce

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.process import Site

TURNS, WARM_UP = 12, 2


def figures() -> Iterator[Figure]:
    """Start both in turn."""
    ours: list[float] = []
    theirs: list[float] = []
    with (
        TemporaryDirectory(prefix="espm-bench-") as name,
        site_with_puppet(Path(name)) as (site, _),
    ):
        for number in range(WARM_UP + TURNS):
            started, imported = _start(site), _import()
            if number >= WARM_UP:
                ours.append(started)
                theirs.append(imported)
    yardstick = '`python -c "import cherrypy, sqlalchemy"`'
    yield announce(Figure("start", 'start to "Serving"', yardstick, ours, theirs, "ms", 2))


def _start(site: Site) -> float:
    begin = time.perf_counter()
    with site.start() as daemon:
        daemon.out.wait_for("ENGINE Serving on")
        taken = 1000 * (time.perf_counter() - begin)
        daemon.stop()
    return taken


def _import() -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import cherrypy, sqlalchemy"], check=True)
    return 1000 * (time.perf_counter() - begin)
