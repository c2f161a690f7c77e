"""The one thread that revokes, and that carries on whatever was left.

Puppet Server loses revocations that are ordered side by side, and each one costs as much as its
CRL is long (reference facts on the CA, 0.1 and 0.2).  So there is one thread for them, which
gathers what comes within a moment and settles it together::

    handed over ─┐
                 ├─> gather ──> finish_all ──> closed, or left in the ledger with a time
    due ─────────┘      ^                                         │
                        └─────────────────────────────────────────┘

Nothing is kept here that the ledger does not have: what was left comes back by its time, after a
restart too, and a request that waits is told that its intent is closed once the ledger has it so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from espm import endings, intents, metrics, vigil
from espm.errors import BackendSilent, EspmError

if TYPE_CHECKING:
    from espm.model import Intent, Node
    from espm.ports import Ports

log = logging.getLogger(__name__)

#: How many intents are carried on together.
MOST = 50

#: Seconds that the first of a batch waits for others: at least the one, at most the other, and
#: between them a share of what the last batch took.  Who was answered by that and comes with more
#: is to be in the next one, and not to wait for the one after it.  Where each of the last batch had
#: somebody who waited for it, as many are expected again, besides those that have come meanwhile,
#: and nobody is waited for beyond them.
WINDOW, LONGEST_WINDOW, SHARE = 0.02, 0.5, 0.1

#: Seconds between two looks for what is due.
PAUSE = 1.0


@dataclass
class _Told:
    """What those who wait for an intent are told.

    :ivar closed: whether the ledger is known to have it closed.
    """

    closed: bool = False


class Revoker:
    """The carrier of the daemon; see :class:`espm.ports.Carrier`.

    :param ports: what it works with when nobody hands anything over.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._queue: deque[tuple[Node, Intent]] = deque()
        self._news = threading.Condition()
        self._turns = threading.Condition()
        self._turn = 0
        self._in_work: set[str] = set()
        self._waited_for: dict[str, _Told] = {}
        self._window = WINDOW
        self._expected = MOST
        self._ended = False
        self._watch = vigil.Vigil()

    def carry(self, node: Node, intent: Intent, _ports: Ports) -> None:
        """See :meth:`espm.ports.Carrier.carry`; returns at once."""
        with self._news:
            self._in_work.add(intent.ident)
            self._queue.append((node, intent))
            self._news.notify()

    def wait(self, intent: Intent, seconds: float, ports: Ports) -> bool:
        """See :meth:`espm.ports.Carrier.wait`; gives up early when espm ends."""
        deadline = time.monotonic() + seconds
        told = self._waited_for.setdefault(intent.ident, _Told())
        try:
            while True:
                turn = self._turn
                # To let each of many look would take long, while all of them want to go on.
                if told.closed:
                    return True
                if intent.ident not in self._in_work and ports.ledger.is_closed(intent):
                    return True
                if not self._await_turn(turn, deadline - time.monotonic()):
                    return False
        finally:
            self._waited_for.pop(intent.ident, None)

    def _await_turn(self, turn: int, seconds: float) -> bool:
        """Return whether a batch was done after *turn*, within *seconds*."""
        with self._turns:
            self._turns.wait_for(lambda: self._ended or self._turn > turn, max(0.0, seconds))
            return self._turn > turn

    def run(self) -> None:
        """Work until :meth:`end`."""
        while not self._ended:
            try:
                self.work()
            except EspmError as error:
                # The ledger is away: what is claimed waits in it, and here.
                log.warning("nothing can be carried on: %s", error)
                time.sleep(PAUSE)
            except Exception:
                log.exception("unexpected error; what it stopped is tried again")
                time.sleep(PAUSE)

    def end(self) -> None:
        """Begin nothing more, and let those who wait answer; a batch under way goes on."""
        with self._news, self._turns:
            self._ended = True
            self._news.notify()
            self._turns.notify_all()

    def work(self) -> None:
        """Carry on one batch of what was handed over or is due, if there is any.

        :raises espm.errors.BackendUnavailable: the ledger is away.
        """
        # What fails again and again is due again and again: half is for what was handed over.
        due = self._ports.ledger.claim_due(MOST // 2 if self._queue else MOST)
        batch = [*due, *self._gather(MOST - len(due), patience=0.0 if due else PAUSE)]
        if batch:
            try:
                self._finish(batch)
            finally:
                self._end_turn(batch)
        self._watch.look(self._ports)

    def _finish(self, batch: list[tuple[Node, Intent]]) -> None:
        begun = time.monotonic()
        errors = endings.finish_all(batch, self._ports)
        took = time.monotonic() - begun
        metrics.BATCHES.observe(len(batch))
        metrics.BATCH_SECONDS.observe(took)
        self._window = min(max(WINDOW, SHARE * took), LONGEST_WINDOW)
        silence = next((error for error in errors if isinstance(error, BackendSilent)), None)
        if silence is not None:
            self._leave_the_rest(silence)
        if not errors:
            for told in filter(None, (self._waited_for.get(intent.ident) for _, intent in batch)):
                told.closed = True

    def _end_turn(self, batch: list[tuple[Node, Intent]]) -> None:
        """Have those who wait go on, or look into the ledger where they were told nothing."""
        done = {intent.ident for _, intent in batch}
        with self._turns:
            all_waited_for = done <= self._waited_for.keys()
            self._expected = len(self._queue) + len(done) if all_waited_for else MOST
            self._in_work -= done
            self._turn += 1
            self._turns.notify_all()

    def _leave_the_rest(self, silence: BackendSilent) -> None:
        """Leave what was handed over to the ledger; each try would cost a call's whole time."""
        with self._news:
            rest = [self._queue.popleft() for _ in range(len(self._queue))]
        for _, intent in rest:
            with intents.leaving(intent, [], self._ports):
                raise silence
        self._end_turn(rest)

    def _gather(self, most: int, patience: float) -> list[tuple[Node, Intent]]:
        """Return what was handed over, having waited for it, and a moment more for others."""
        with self._news:
            if not self._news.wait_for(lambda: self._ended or self._queue, patience):
                self._expected = MOST
            enough = min(most, self._expected)
            if self._queue:
                self._news.wait_for(lambda: self._ended or len(self._queue) >= enough, self._window)
            return [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
