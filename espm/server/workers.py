"""The threads that answer requests.

cheroot's pool waits without bound for a thread that hangs, both when it stops and when its queue is
full; ours lets go of it in time.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from cheroot.workers import threadpool
from cheroot.workers.threadpool import ThreadPool, WorkerThread

from espm.server.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from espm.server.connections import Server
    from espm.server.exchange import Connection

log = logging.getLogger(__name__)

_END: Any = vars(threadpool)["_SHUTDOWNREQUEST"]  # what cheroot's threads end at


class Pool(ThreadPool):
    """A fixed number of threads behind a fair queue.

    :param threads: how many.
    :param waiting: how many connections of platforms may wait; over it ``put`` raises
        ``queue.Full``.
    :ivar freed: the monotonic time at which a thread last had nothing to do, or was done.
    """

    max: int
    _threads: list[WorkerThread]
    _queue: Turns
    get: Callable[[], Any]
    _clear_threads: Callable[[], Iterable[WorkerThread]]

    def __init__(self, server: Server, threads: int, waiting: int) -> None:
        super().__init__(server, min=threads, max=threads)
        self._queue = Turns(_END, waiting)
        self.freed = time.monotonic()
        self.get = self._next

    def is_roomy(self) -> bool:
        """Return to a thread that is done whether half of all have nothing to do."""
        self.freed = time.monotonic()
        return self._queue.takers * 2 >= self.max

    def _next(self) -> Any:
        """Return the next connection to a thread that is done with its last one."""
        self.freed = time.monotonic()
        return self._queue.get()

    def take_back(self, conn: Connection) -> bool:
        """Return whether *conn* waited for a thread, which it does no more."""
        return self._queue.take_back(conn)

    def stop(self, timeout: float = 5) -> None:
        """Let the threads finish what they do and what is queued, for *timeout* seconds.

        A thread that is still busy then is left behind; it ends with the process.
        """
        deadline = time.monotonic() + timeout
        for _worker in self._threads:
            self._queue.put(_END)
        for worker in self._clear_threads():
            worker.join(max(0.0, deadline - time.monotonic()))
            if worker.is_alive():
                log.warning("%s is still busy; it is left behind", worker.name)

    def _spawn_worker(self) -> WorkerThread:
        worker = WorkerThread(self.server)  # type: ignore[no-untyped-call] # cheroot's
        worker.name = f"CP Server {worker.name}"
        worker.daemon = True
        worker.start()
        return worker
