"""Answers with a private key, kept in memory for a minute: long enough for a retry, and no longer.

They are on no disk and in no log.  An answer whose time is over is overwritten with zeros where
it was kept; what Python copied of it on its way is not in our hands.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from espm.api.message import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from espm.model import ReplayKey

#: Seconds for which an answer is kept.
SECONDS = 60.0

#: How many bytes all of them may have: thousands of answers, for a certificate, its key and the
#: CA's bundle are a few KiB.
MOST = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Entry:
    until: float
    headers: Mapping[str, str]
    body: bytearray


class Delivered:
    """Answers by the key of their requests; for any number of threads.

    :param clock: returns seconds, never fewer than before.
    """

    def __init__(
        self,
        seconds: float = SECONDS,
        most: int = MOST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        # All are kept equally long, so the first is always the oldest.
        self._kept: dict[ReplayKey, _Entry] = {}
        self._timer: threading.Timer | None = None

    def put(self, key: ReplayKey, headers: Mapping[str, str], body: bytes) -> None:
        """Keep an answer, in place of the oldest ones if there is no room."""
        with self._lock:
            self._wipe(key)
            self._kept[key] = _Entry(self._clock() + self._seconds, headers, bytearray(body))
            while sum(len(each.body) for each in self._kept.values()) > self._most:
                self._wipe(next(iter(self._kept)))
            self._set_timer()

    def get(self, key: ReplayKey) -> Answer | None:
        """Return the answer with a private key that was given under *key*, if it is still kept."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or kept.until <= self._clock():
                return None
            return Answer(201, bytes(kept.body), kept.headers, secret=True)

    def _set_timer(self) -> None:
        if self._timer is not None or not self._kept:
            return
        oldest = next(iter(self._kept.values()))
        # Once a second is enough, however many there are: none is given out after its time.
        wait = max(1.0, oldest.until - self._clock())
        self._timer = threading.Timer(wait, self._wipe_old)
        self._timer.name, self._timer.daemon = "wipe delivered keys", True
        self._timer.start()

    def _wipe_old(self) -> None:
        with self._lock:
            now = self._clock()
            for key in [key for key, kept in self._kept.items() if kept.until <= now]:
                self._wipe(key)
            self._timer = None
            self._set_timer()

    def _wipe(self, key: ReplayKey) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            kept.body[:] = bytes(len(kept.body))
