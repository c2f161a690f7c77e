"""A world for espm to live in: a real ledger, real ENC documents, a double of Puppet's CA.

Nothing in it takes real time: the clock is the test's, whoever waits looks once, and what is due
is made due.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from espm import ledger
from espm.carrying import AtOnce
from espm.classifier.builtin import BuiltinClassifier
from espm.classifier.directory import prepare
from espm.errors import EspmError
from espm.model import Limits, Platform
from espm.ports import Ports
from espm.revoker import Revoker
from tests.api.platform import GROUPS
from tests.fake_catalogue import FakeCatalogue
from tests.fakes import FakeCa
from tests.stateful.trouble import Process, Request

if TYPE_CHECKING:
    from espm.ledger import SqlLedger
    from espm.model import Intent

LIMITS = Limits(environments=("production", "staging"))
PLATFORMS = (Platform("cloud", limits=LIMITS), Platform("other", limits=LIMITS))

#: Seconds that it takes a lease to run out, and not so many that a second look comes too late.
LEASE = 130.0

#: More batches than anything needs to be over.
MANY = 12


class Clock:
    """The time of day of the ledger; goes on by :meth:`advance`, and a little when it is read."""

    def __init__(self) -> None:
        self._now = datetime.now(UTC)

    def now(self, zone: Any = UTC) -> datetime:
        """Return the time; in the place of ``datetime.now``."""
        self.advance(0.0001)
        return self._now.astimezone(zone)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)


class Prompt(Revoker):
    """A revoker without a thread: it works when it is told to, or when a request waits for it."""

    busy = False

    def wait(self, intent: Intent, seconds: float, ports: Ports) -> bool:
        """Work once, unless that is under way, and return whether *intent* is closed."""
        if seconds and not self.busy:
            self.work()
        return ports.ledger.is_closed(intent)

    def work(self) -> None:
        """Carry on one batch; only one at a time."""
        self.busy = True
        try:
            super().work()
        finally:
            self.busy = False


class Bugs(logging.Handler):
    """Keeps what espm logs with a traceback: errors that nobody foresaw."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Note it."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, EspmError):
            self.found.append(error)


@dataclass
class World:
    """Everything outside the requests.

    :ivar at_once: whether requests revoke by themselves; else there is a revoker.
    :ivar real_time: whether time passes by itself.
    :ivar held: requests that were held up.
    :cvar made: how many there were so far.
    """

    made: ClassVar[int] = 0
    at_once: bool = False
    real_time: bool = False
    held: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make it, with an espm that has just started."""
        World.made += 1
        self.directory = Path(tempfile.mkdtemp(prefix="espm-stateful-", dir=_place()))
        self.url = f"sqlite:///{self.directory}/ledger.db"
        shutil.copy(_template(), self.directory / "ledger.db")
        self.enc = self.directory / "enc"
        self.enc.mkdir()
        prepare(self.enc)
        (self.directory / "groups.yaml").write_text(GROUPS)
        self.ca, self.clock, self.bugs = FakeCa(), Clock(), Bugs()
        self._patch = pytest.MonkeyPatch()
        for name in ("revoker.PAUSE", "revoker.WINDOW", "vigil.EVERY"):
            self.pace(name, 0.0)
        if not self.real_time:
            self._patch.setattr("espm.ledger.claims.datetime", self.clock)
            # Nothing is due before a lease is over, or made due.
            self.pace("intents.FIRST", LEASE / 2)
        # Whether the schema is today's takes as long to see as the rest of a start.
        self._patch.setattr("espm.ledger.opening.check", lambda _: None)
        logging.getLogger("espm").addHandler(self.bugs)
        self.start()

    def pace(self, name: str, seconds: float) -> None:
        """Let *seconds* be the value of a constant of espm until the end."""
        self._patch.setattr(f"espm.{name}", seconds)

    def start(self) -> None:
        """Start espm on what is there, as the daemon does."""
        self.process = Process(self.ca)
        self.ledger: SqlLedger = ledger.open_ledger(self.url)
        self.ledger.orphan()
        self.classifier = BuiltinClassifier(self.enc, self.directory / "groups.yaml")
        self.classifier.load()
        around, catalogue = self.process.around, FakeCatalogue()
        self.ports = Ports(
            around(self.ledger, "ledger"),
            around(self.classifier, "enc"),
            catalogue,
            around(self.ca, "ca"),
            AtOnce(),
        )
        self.revoker = Prompt(self.ports)
        if not self.at_once:
            self.ports = replace(self.ports, carrier=self.revoker)

    def close(self) -> None:
        """Leave nothing behind."""
        self.process.kill()
        for request in self.held:
            request.go_on()
        self.ledger.disconnect()
        logging.getLogger("espm").removeHandler(self.bugs)
        self._patch.undo()
        shutil.rmtree(self.directory)

    def begin(self, request: Request) -> None:
        """Make a request; it is answered when it ended, which may be much later."""
        request.begin(self.ports)
        if request.outcome is None and request.bug is None:
            self.held.append(request)
        else:
            self._ended(request)

    def go_on(self, request: Request) -> None:
        """Let a request that was held up run to its end."""
        self.held.remove(request)
        request.go_on()
        self._ended(request)

    def _ended(self, request: Request) -> None:
        if request.bug is not None:
            raise request.bug
        assert request.outcome is not None
        request.answered(request.outcome)
        if self.process.dead and not request.is_held:
            self.crash()

    def crash(self) -> None:
        """Kill espm with all its requests, and start it anew."""
        self.process.kill()
        for request in list(self.held):
            self.go_on(request)
        self.ledger.disconnect()
        self.start()

    def pass_time(self, seconds: float) -> None:
        """Let the leases of what is held up run out; what was held up before is not any more."""
        for request in [each for each in self.held if each.aged]:
            self.go_on(request)
        for request in self.held:
            request.aged = True
        self.clock.advance(seconds)

    def calm(self) -> None:
        """Let everything come to its end: requests, what the CA had heard, what was left."""
        self.ca.away = self.ca.loses_revocations = False
        self.ca.catch_up()
        while self.held:
            self.go_on(self.held[0])
            self.ca.catch_up()
        for _ in range(MANY):
            self.ledger.orphan()
            self.revoker.work()
            if not self.ledger.backlog().open:
                break
            # What was claimed by a call whose answer was lost is nobody's until its lease is over.
            self.clock.advance(LEASE / 2)
        self.revoker.work()


def _place() -> str | None:
    """Return where files are cheap: a disk that syncs takes most of the time else."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() else None


def _template() -> Path:
    """Return an empty ledger; making one takes as long as fifty requests."""
    if not _made:
        directory = tempfile.TemporaryDirectory(prefix="espm-stateful-", dir=_place())
        ledger.upgrade(f"sqlite:///{directory.name}/ledger.db")
        with ledger.open_ledger(f"sqlite:///{directory.name}/ledger.db") as made:
            made.ping()
        _made.append(directory)
    return Path(_made[0].name) / "ledger.db"


_made: list[tempfile.TemporaryDirectory[str]] = []
