"""What can befall a request: it fails, is not answered, dies, or is held up, at a chosen call.

A request calls ports.  One of its calls, counted from zero, is where the trouble comes; so each
interleaving is a matter of what was chosen, and happens again when it is chosen again.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from espm.errors import BackendSilent, BackendUnavailable, EspmError

if TYPE_CHECKING:
    from collections.abc import Callable

    from espm.ports import Ports
    from tests.fakes import FakeCa

#: Seconds after which a thread that neither ends nor stops is a bug of these tests, or a deadlock.
PATIENCE = 60.0

#: What the CA may do although nobody waits for it any more.
LATE = {"submit", "sign"}


class Killed(BaseException):
    """The process is no more."""


class Kind(StrEnum):
    """What befalls a call.

    The CA is not answering at all from ``SILENT`` on, until it is said to be back.  What is
    ``LATE`` is done later, by :meth:`tests.fakes.FakeCa.catch_up`.
    """

    FAILS = "fails"
    ANSWER_LOST = "answer lost"
    SILENT = "silent"
    LATE = "late"
    KILLED_BEFORE = "killed before"
    KILLED_AFTER = "killed after"
    HELD_UP = "held up"


@dataclass(frozen=True)
class Trouble:
    """What befalls a request.

    :ivar at: at which of its calls of a port, counted from zero.
    """

    kind: Kind
    at: int

    def __repr__(self) -> str:
        return f"Trouble(Kind.{self.kind.name}, {self.at})"


@dataclass
class Outcome:
    """How a request ended.

    :ivar error: what it raised, when it was answered with an error.
    :ivar killed: whether it was never answered, for the process died.
    """

    value: Any = None
    error: EspmError | None = None
    killed: bool = False

    def __str__(self) -> str:
        if self.killed:
            return "killed"
        if self.error is not None:
            return repr(self.error)
        return "None" if self.value is None else type(self.value).__name__


@dataclass
class Request:
    """A request under way.

    :ivar answered: told how it ended, once.
    :ivar number: by which it is known.
    :ivar seen: the calls that it made so far.
    :ivar aged: whether the lease of its claim ran out while it was held up.
    :ivar struck: the call that something befell.
    """

    name: str
    work: Callable[[Ports], object]
    trouble: Trouble | None = None
    answered: Callable[[Outcome], object] = lambda _: None
    ports: Ports | None = None
    number: int = field(default_factory=itertools.count(1).__next__)
    seen: list[str] = field(default_factory=list)
    aged: bool = False
    outcome: Outcome | None = None
    bug: BaseException | None = None
    struck: str | None = None
    _thread: threading.Thread | None = None
    _still: threading.Event = field(default_factory=threading.Event)
    _go: threading.Event = field(default_factory=threading.Event)

    def begin(self, ports: Ports) -> None:
        """Run until it ends or is held up."""
        self.ports = ports
        if not self.is_held:
            self._run()
            return
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()
        assert self._still.wait(PATIENCE), f"{self.name} hangs after {self.seen}"

    def go_on(self) -> None:
        """Run to the end."""
        assert self._thread is not None
        self._go.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), f"{self.name} hangs after {self.seen}"

    def befalls(self, call: str) -> Kind | None:
        """Return what befalls the call that comes now."""
        self.seen.append(call)
        if self.trouble is None or self.trouble.at != len(self.seen) - 1:
            return None
        self.struck = call
        return self.trouble.kind

    def __str__(self) -> str:
        befell = f", {self.trouble and self.trouble.kind} at {self.struck}" if self.struck else ""
        ended = self.outcome or ("held up" if self.bug is None else repr(self.bug))
        return f"{self.number}: {self.name}{befell}: {ended}"

    @property
    def is_held(self) -> bool:
        """Whether others can come in between."""
        return self.trouble is not None and self.trouble.kind is Kind.HELD_UP

    def hold_up(self) -> None:
        """Wait to be told to go on."""
        self._still.set()
        assert self._go.wait(10 * PATIENCE), "never told to go on"

    def _run(self) -> None:
        _here.request = self
        try:
            assert self.ports is not None
            self.outcome = Outcome(self.work(self.ports))
        except EspmError as error:
            self.outcome = Outcome(error=error)
        except Killed:
            self.outcome = Outcome(killed=True)
        except BaseException as bug:  # noqa: BLE001 - raised in the main thread
            self.bug = bug
        finally:
            _here.request = None
            self._still.set()


_here = threading.local()


class Process:
    """One life of the daemon: its ports, until it is killed."""

    def __init__(self, ca: FakeCa) -> None:
        self.dead = False
        self._ca = ca

    def kill(self) -> None:
        """Let nothing of it do anything any more."""
        self.dead = True

    def around(self, port: Any, name: str) -> Any:
        """Return *port* as this process sees it."""
        return _Port(port, name, self)

    def call(self, port: str, method: Callable[[], Any], name: str) -> Any:
        """Call *method*, and let happen what is to happen there."""
        self._live()
        request: Request | None = getattr(_here, "request", None)
        kind = None if request is None else request.befalls(f"{port}.{name}")
        if kind is Kind.HELD_UP and request is not None:
            request.hold_up()
            self._live()
        if kind is None or kind is Kind.HELD_UP:
            return method()
        return self._trouble(kind, port, method, name)

    def _live(self) -> None:
        if self.dead:
            raise Killed

    def _trouble(self, kind: Kind, port: str, method: Callable[[], Any], name: str) -> Any:
        if kind in {Kind.KILLED_AFTER, Kind.ANSWER_LOST}:
            method()
        if kind in {Kind.KILLED_BEFORE, Kind.KILLED_AFTER}:
            self.kill()
            raise Killed
        if port == "ca":
            return self._ca_trouble(kind, method, name)
        msg = f"{kind}: {port}.{name}"
        raise BackendUnavailable(msg)

    def _ca_trouble(self, kind: Kind, method: Callable[[], Any], name: str) -> Any:
        if kind is Kind.SILENT:
            self._ca.away = True
        elif kind is Kind.LATE and name in LATE:
            self._ca.late.add(name)
        else:
            error = BackendUnavailable if kind is Kind.FAILS else BackendSilent
            msg = f"{kind}: ca.{name}"
            raise error(msg)
        try:
            return method()
        finally:
            self._ca.late.discard(name)


class _Port:
    """A port each of whose calls something may befall."""

    def __init__(self, port: Any, name: str, process: Process) -> None:
        self._port = port
        self._name = name
        self._process = process

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._process.call(self._name, lambda: method(*args, **kwargs), name)

        return call
