"""What the daemon's memory is after many launches and retirements, beside what it was."""

from __future__ import annotations

import ssl
import time
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from espm.vigil import EVERY, WATCHED
from tests.api.platform import PSK
from tests.api.process import site_with_puppet
from tests.bench.calls import Caller, rate
from tests.bench.figure import Figure, announce, say
from tests.bench.site import JSON, launch, retire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.process import Daemon, Site
    from tests.fakes import FakeCa

#: After how many launches and retirements in all it is looked at.
COUNTS = (0, 200, 10_000, 50_000)

#: Megabytes it may have; times what it was.
MOST, GROWTH = 90.0, 1.2


def figures() -> Iterator[Figure]:
    """Launch and retire, and look in between."""
    with TemporaryDirectory(prefix="espm-bench-") as name, site_with_puppet(Path(name)) as both:
        site, puppet = both
        site.sample.set("server", threads="64")
        site.sample.write()
        # The first time Python may compile its modules, and be 5 MB larger from its start.
        with site.serving():
            pass
        with site.serving() as daemon:
            seen = {0: resident(daemon)}
            for first, last in pairwise(COUNTS):
                _work(site, first, last)
                prune(puppet.ca)
                seen[last] = resident(daemon)
                say(f"({last:,} launches and retirements: {seen[last]:.1f} MB)")
    yield announce(_figure(seen, 0, 10_000, "at start"))
    yield announce(_figure(seen, 10_000, 50_000, "after 10,000"))


def _figure(seen: dict[int, float], first: int, last: int, yardstick: str) -> Figure:
    work = f"memory after {last:,} launches and retirements"
    reach = GROWTH if not first else 1.02
    return Figure("memory", work, yardstick, [seen[last]], [seen[first]], "MB", reach, MOST)


def resident(daemon: Daemon) -> float:
    """Return the resident memory of the daemon, in megabytes."""
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def prune(ca: FakeCa) -> None:
    """Let the CA forget what ended, so that only espm's own memory is looked at.

    What espm may look at again, for some minutes, has to be there; so this waits for it.
    """
    time.sleep(WATCHED + 2 * EVERY)
    with ca.lock:
        for kept in (ca.revoked, ca.signed, ca.ever, ca.calls):
            kept.clear()


def _work(site: Site, first: int, last: int) -> None:
    for begin in range(first, last, 100):
        names = [f"web-{n}.bench.example.com" for n in range(begin, min(begin + 100, last))]
        for act in (launch, retire):
            rate(lambda: _caller(site), act, names, 8)


def _caller(site: Site) -> Caller:
    client = site.client()
    context = ssl.create_default_context(cafile=client.ca_file)
    return Caller(client.url, context, {"Authorization": f"Bearer {PSK}", **JSON})
