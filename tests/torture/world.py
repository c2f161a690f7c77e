"""An espm to torture: a daemon that dies and comes back, a CA, an ENC, a ledger."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from tests.api.process import Site, site_with_puppet
from tests.torture.accounts import Books, faults
from tests.torture.holdings import DOMAIN, FakeHoldings, Holdings
from tests.torture.points import Control, Order
from tests.torture.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.api.platform import Client
    from tests.fake_puppet import FakePuppet
    from tests.torture.nursery import Child, Nursery

#: Seconds until what was left must be settled.
PATIENCE = 60


class Daemon(Protocol):
    """A running espm."""

    @property
    def text(self) -> str:
        """What it has written so far."""

    def ended(self, seconds: float = 0) -> bool:
        """Return whether it has ended, or does within so many seconds."""

    def serving(self, seconds: float = 30) -> bool:
        """Return once it serves, or False when it ends before."""

    def kill(self) -> None:
        """Kill it and return when it is gone.  Idempotent."""


class Home(Protocol):
    """Where a daemon lives: what it is started with, and how it is called."""

    @property
    def enc(self) -> Path:
        """The directory of the ENC's documents."""

    @property
    def ledger_url(self) -> str:
        """The ledger."""

    def client(self) -> Client:
        """Return a platform that calls it."""

    def start(self) -> Daemon:
        """Start a daemon."""


@dataclass
class FakeHome:
    """A daemon beside a fake Puppet, forked from the nursery."""

    site: Site
    nursery: Nursery

    @property
    def enc(self) -> Path:
        """The directory of the ENC's documents."""
        return self.site.enc

    @property
    def ledger_url(self) -> str:
        """The ledger."""
        return self.site.sample.sections["ledger"]["url"]

    def client(self) -> Client:
        """Return a platform that calls it."""
        return self.site.client()

    def start(self) -> Child:
        """Start a daemon."""
        directory = self.site.directory
        return self.nursery.start(directory / "espm.ini", directory, directory / "espm.log")


@dataclass
class World:
    """All that a torment needs.

    :ivar control: gives the daemon its orders.
    """

    home: Home
    holdings: Holdings
    control: Control
    _daemon: Daemon | None = None
    _names: Iterator[int] = field(default_factory=count)

    @property
    def alive(self) -> bool:
        """Whether a daemon runs."""
        return self._daemon is not None and not self._daemon.ended()

    @property
    def daemon(self) -> Daemon:
        """The daemon, dead or alive."""
        assert self._daemon
        return self._daemon

    def start(self) -> bool:
        """Start a daemon; return whether it lived until it served."""
        self._daemon = self.home.start()
        return self._daemon.serving()

    def ensure(self) -> None:
        """Start a daemon unless one runs; it is at rest when this returns."""
        if self.alive:
            return
        self.order()
        assert self.start(), self.daemon.text
        self.rest()
        self.control.withdraw()

    def rest(self, seconds: float = 0.04) -> None:
        """Return once nothing has been touched for so long: the work of a start is done."""
        before, now = -1, len(self.control.passed())
        while now != before and not self.daemon.ended(seconds):
            before, now = now, len(self.control.passed())

    def kill(self) -> None:
        """Kill the daemon, if one runs."""
        if self._daemon:
            self._daemon.kill()

    def order(self, kill: str = "", fail: str = "") -> None:
        """Give the daemon its orders."""
        self.control.give(Order(kill, fail))

    def witness(self) -> Witness:
        """Return a client with a name of its own."""
        return Witness(self.home.client(), f"n{next(self._names)}{DOMAIN}")

    def settle(self, seconds: float = PATIENCE) -> bool:
        """Return True once no intent is open, False when the daemon ends or time is up."""
        end = time.monotonic() + seconds
        while self.alive and time.monotonic() < end:
            if not Books.read(self.home.ledger_url).open_intents:
                return True
            time.sleep(0.01)
        return False

    def faults(self, *witnesses: Witness, patience: float = 0.5) -> list[str]:
        """Return all that is not as it must be, now that everything has settled.

        :param patience: seconds that it may still take.  What a probe of the daemon's leaves for
            a moment is no fault.
        """
        end = time.monotonic() + patience
        while (found := self._faults(*witnesses)) and time.monotonic() < end:
            time.sleep(0.05)
        return found

    def _faults(self, *witnesses: Witness) -> list[str]:
        books = Books.read(self.home.ledger_url)
        found = faults(books, self.holdings, self.home.enc)
        for witness in witnesses:
            found += witness.faults(books)
        return found


@contextmanager
def fake_world(directory: Path, nursery: Nursery, **ini: Any) -> Iterator[tuple[World, FakePuppet]]:
    """Make a world with a fake Puppet; its daemon is not started."""
    with site_with_puppet(directory) as (site, puppet):
        for section, keys in ini.items():
            site.sample.set(section, **keys)
        site.sample.write()
        world = World(FakeHome(site, nursery), FakeHoldings(puppet.ca), Control(directory))
        try:
            yield world, puppet
        finally:
            world.kill()
