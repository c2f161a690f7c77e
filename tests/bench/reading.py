"""What the API's quick answers cost, with few rows in the ledger and with a million."""

from __future__ import annotations

import json
import os
import sqlite3
import ssl
import time
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import cherrypy

from espm import log
from tests.api.platform import PSK, opened, running
from tests.bench.calls import Caller
from tests.bench.figure import Figure, announce, say
from tests.bench.site import JSON

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.api.platform import Door

ROWS = (1_000, 1_000_000)
TURNS, EACH, WARM_UP = 20, 40, 3
NAME = "web-700.bench.example.com"


class Ask(NamedTuple):
    """A request, and the status of its answer."""

    work: str
    method: str
    path: str
    status: int
    body: str | None = None


ASKS = (
    Ask("GET /v1/nodes/NAME", "GET", f"/v1/nodes/{NAME}", 200),
    Ask("GET /v1/nodes, a page of 50", "GET", "/v1/nodes?limit=50", 200),
    Ask("POST /v1/nodes of a name that is taken", "POST", "/v1/nodes", 409,
        json.dumps({"certname": NAME})),
)  # fmt: skip


class Bare:
    """A handler that does nothing but answer."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    @cherrypy.expose  # type: ignore[untyped-decorator]
    @cherrypy.tools.json_out()  # type: ignore[untyped-decorator]
    def default(self, *_path: str, **_query: str) -> Any:
        """Answer every path alike."""
        return self._answer


def figures() -> Iterator[Figure]:
    """Measure each request beside the bare handler, at each number of rows."""
    with Path(os.devnull).open("w") as nowhere:
        # As the daemon does: a line of each request is written, here to nobody.
        log.configure(stream=nowhere)
        for rows in ROWS:
            with served(rows) as door:
                for ask in ASKS:
                    yield announce(_figure(door, ask, rows))


@contextmanager
def served(rows: int) -> Iterator[Door]:
    """Serve an espm whose ledger has so many live nodes."""
    with TemporaryDirectory(prefix="espm-bench-") as name, opened(Path(name)) as door:
        root = Path(name) / "espm"
        root.mkdir()
        with running(root, door):
            fill(root / "ledger.db", rows)
            yield door


def fill(path: Path, rows: int) -> None:
    """Write live nodes into the ledger by SQL; by the API it would take hours."""
    begin, moment = time.monotonic(), "2026-11-21 00:00:00.000000"
    said = '{"environment": null, "groups": [], "classes": {}, "parameters": {"role": "web"}}'
    with closing(sqlite3.connect(path)) as database, database:
        database.executemany(
            "INSERT INTO nodes VALUES (?, ?, 'cloud', 'active', 1, ?, ?, ?, NULL)",
            ((n, f"web-{n}.bench.example.com", said, moment, moment) for n in range(1, rows + 1)),
        )
    if rows > 100_000:
        say(f"({rows:,} rows written in {time.monotonic() - begin:.0f} s)")


def _figure(door: Door, ask: Ask, rows: int) -> Figure:
    ours = door.app
    with caller(door) as client:
        answer = json.loads(client.call(ask.method, ask.path, ask.body, expect=ask.status))
        bare = _bare(answer)
        rates: tuple[list[float], list[float]] = ([], [])
        for number in range(WARM_UP + TURNS):
            for app, status, kept in zip((ours, bare), (ask.status, 200), rates, strict=True):
                door.app = app
                found = _rate(client, ask, status)
                if number >= WARM_UP:
                    kept.append(found)
    door.app = ours
    work = f"{ask.work}, {rows:,} rows"
    return Figure("read", work, "a bare CherryPy handler with that answer", *rates, "/s", 0.5)


def _bare(answer: Any) -> Any:
    """Return the handler as an application, with the headers where CherryPy looks for them."""
    handler = cherrypy.Application(Bare(answer), "", {"/": {"log.screen": False}})
    handler.log.access_log.disabled = True

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        for name, value in environ["espm.headers"].items():
            variable = name.replace("-", "_").upper()
            environ[variable if variable.startswith("CONTENT_") else f"HTTP_{variable}"] = value
        return handler(environ, start_response)  # type: ignore[no-any-return]

    return application


def _rate(client: Caller, ask: Ask, status: int) -> float:
    begin = time.perf_counter()
    for _ in range(EACH):
        client.call(ask.method, ask.path, ask.body, expect=status)
    return EACH / (time.perf_counter() - begin)


@contextmanager
def caller(door: Door) -> Iterator[Caller]:
    """Yield a client of *door* over one connection."""
    context = ssl.create_default_context(cafile=door.ca_file)
    client = Caller(door.url, context, {"Authorization": f"Bearer {PSK}", **JSON})
    try:
        yield client
    finally:
        client.close()
