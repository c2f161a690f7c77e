"""Two figures, each beside the least that anything of its kind takes: `make bench`.

A figure alone tells little of our code on a machine that nobody knows, so figure and yardstick
take turns in one run, and their ratio is what counts.
"""

from __future__ import annotations

import os
import ssl
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import cherrypy

from tests.api.platform import PSK, opened, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.api.platform import Door, Espm

ENC = Path(__file__).parents[2] / "etc/espm_enc"
NAME = "web-1.example.com"
TURNS, WARM_UP = 40, 5


@dataclass
class Contender:
    """What is measured: `prepare` before its turn, then `act` so many times, each timed."""

    name: str
    act: Callable[[], object]
    prepare: Callable[[], object] = lambda: None
    milliseconds: list[float] = field(default_factory=list)

    def turn(self, times: int, *, keep: bool) -> None:
        """Act so many times; *keep* the times it took, or only warm up."""
        self.prepare()
        for _ in range(times):
            begin = time.perf_counter()
            self.act()
            if keep:
                self.milliseconds.append(1000 * (time.perf_counter() - begin))

    def row(self, yardstick: Contender) -> str:
        """Return the line of the table: median, the middle 80 %, how many, times the yardstick."""
        tenths = statistics.quantiles(self.milliseconds, n=10)
        median = statistics.median(self.milliseconds)
        ratio = median / statistics.median(yardstick.milliseconds)
        spread = f"{tenths[0]:.2f} to {tenths[-1]:.2f}"
        count = len(self.milliseconds)
        return f"{self.name:<46}{median:>8.2f}{spread:>17}{count:>7}{ratio:>7.2f}"


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def race(ours: Contender, yardstick: Contender, times: int) -> None:
    """Let both take turns and print their rows."""
    for number in range(WARM_UP + TURNS):
        for each in (ours, yardstick):
            each.turn(times, keep=number >= WARM_UP)
    for each in (ours, yardstick):
        say(each.row(yardstick))


def spawned(argv: list[str]) -> Callable[[], None]:
    """Return what runs a program to its end, its output thrown away.

    :raises RuntimeError: (when called) it failed.
    """
    to_null = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]

    def run() -> None:
        pid = os.posix_spawn(argv[0], argv, {"PATH": "/usr/bin:/bin"}, file_actions=to_null)
        if code := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            message = f"{argv} ended with {code}"
            raise RuntimeError(message)

    return run


def enc(espm: Espm) -> None:
    """Race espm_enc against the shell that starts cat for the same file."""
    ours = spawned([str(ENC), "-d", str(espm.enc), NAME])
    bare = spawned(["/bin/sh", "-c", f"exec cat {espm.enc}/{NAME}.json"])
    race(Contender("espm_enc NAME", ours), Contender("sh -c 'exec cat FILE'", bare), 10)


class Bare:
    """A handler that does nothing but answer."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    @cherrypy.expose  # type: ignore[untyped-decorator]
    @cherrypy.tools.json_out()  # type: ignore[untyped-decorator]
    def default(self, *_path: str) -> Any:
        """Answer every path alike."""
        return self._answer


def get(espm: Espm, door: Door) -> None:
    """Race GET of a node against a bare CherryPy handler with the same answer: same server, TLS."""
    answer = espm.client().get(f"/v1/nodes/{NAME}").json()
    app, bare = door.app, cherrypy.Application(Bare(answer), "", {"/": {"log.screen": False}})
    bare.log.access_log.disabled = True

    with connected(door) as call:
        race(
            Contender("GET /v1/nodes/NAME", call, lambda: setattr(door, "app", app)),
            Contender("a bare CherryPy handler", call, lambda: setattr(door, "app", bare)),
            25,
        )
    door.app = app


@contextmanager
def connected(door: Door) -> Iterator[Callable[[], None]]:
    """Yield what GETs the node over one connection that is kept.

    :raises RuntimeError: (when called) the answer is not 200.
    """
    context = ssl.create_default_context(cafile=door.ca_file)
    connection = HTTPSConnection(urlsplit(door.url).netloc, context=context, timeout=30)
    headers = {"Authorization": f"Bearer {PSK}"}

    def call() -> None:
        connection.request("GET", f"/v1/nodes/{NAME}", headers=headers)
        answer = connection.getresponse()
        if answer.status != 200 or NAME.encode() not in answer.read():
            message = f"the answer's status is {answer.status}"
            raise RuntimeError(message)

    try:
        yield call
    finally:
        connection.close()


def main() -> int:
    """Print the table and return the exit code."""
    cherrypy.config.update({"log.screen": False, "environment": "embedded"})
    begin = time.monotonic()
    say(f"{'milliseconds':<46}{'median':>8}{'middle 80 %':>17}{'times':>7}{'ratio':>7}")
    with tempfile.TemporaryDirectory(prefix="espm-bench-") as name, opened(Path(name)) as door:
        root = Path(name) / "espm"
        root.mkdir()
        with running(root, door) as espm:
            added = espm.client().add(NAME, groups=["base"], parameters={"role": "web"})
            added.raise_for_status()
            enc(espm)
            get(espm, door)
    say(f"in {time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
