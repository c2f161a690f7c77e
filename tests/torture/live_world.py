"""An espm to torture beside a real Puppet Server, set up by `espm_setup` and without root."""

from __future__ import annotations

import random
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from espm import config
from tests.live import scene
from tests.live.stack import Stack, own_name
from tests.live.user import as_user, importable, interpreter
from tests.torture.holdings import LiveHoldings
from tests.torture.nursery import Child, Nursery
from tests.torture.points import Control
from tests.torture.retirement import open_for_healing
from tests.torture.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.platform import Client
    from tests.live.lab import Lab

_HERE = Path(__file__).parent


@dataclass
class LiveHome:
    """A daemon beside a real Puppet Server, forked from a nursery of the daemon's user."""

    stack: Stack
    nursery: Nursery
    orders: Path

    @property
    def enc(self) -> Path:
        """The directory of the ENC's documents."""
        return self.stack.enc

    @property
    def ledger_url(self) -> str:
        """The ledger."""
        return config.load(self.stack.ini).ledger_url

    def client(self) -> Client:
        """Return a platform that calls it."""
        return self.stack.client()

    def start(self) -> Child:
        """Start a daemon."""
        return self.nursery.start(self.stack.ini, self.orders, self.orders / "espm.log")


@contextmanager
def live_world(lab: Lab, scope: str) -> Iterator[World]:
    """Make a world with a real Puppet Server; its daemon is not started.

    :param scope: what espm may do at the CA; with ``full`` also in its directories.
    """
    if scope == "full":
        open_for_healing(lab)
    with scene.scratch("torture") as root:
        stack = Stack(lab, root / "espm", options=("--ca-scope", scope, *own_name()))
        try:
            stack.set_up()
            orders = root / "orders"
            orders.mkdir()
            orders.chmod(0o777)
            with _nursery(stack, root / "code") as nursery:
                home, holdings = LiveHome(stack, nursery, orders), LiveHoldings(lab)
                # Names that no world of before has left at the CA.
                names = count(random.randrange(10**6, 10**9))
                world = World(home, holdings, Control(orders), _names=names)
                yield world
                world.kill()
        finally:
            stack.close()


@contextmanager
def _nursery(stack: Stack, place: Path) -> Iterator[Nursery]:
    with importable(place) as (path, descriptor):
        (place / "tests/torture").mkdir(parents=True)
        for name in ("daemon.py", "points.py"):
            shutil.copy(_HERE / name, place / "tests/torture" / name)
        environment = stack.environment() | {"PYTHONPATH": path}
        who = as_user(stack.user)
        options = {"env": environment, "pass_fds": (descriptor,), "cwd": "/", **who}
        with Nursery(interpreter(stack.user), **options) as nursery:
            yield nursery
