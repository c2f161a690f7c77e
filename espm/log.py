"""Logging: CherryPy's form on stdout, one request id through all lines of a request.

A supervisor reads standard output; nothing else is written anywhere.  The time is the machine's
local time in CherryPy's form, so that bus messages and ours sort together.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, TextIO

from espm.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable

#: The id of the request that this thread works on, ``-`` outside of one.
request_id: ContextVar[str] = ContextVar("request_id", default="-")

#: Whether this thread works on a request of somebody who has shown no key yet.
stranger: ContextVar[bool] = ContextVar("stranger", default=False)

# journald begins a new line after 48 KiB, and what stands there would look like a line of ours.
_LONGEST = 16 * 1024

_BY_STRANGERS = Pace(most=50, seconds=10.0)

# What no line of ours tells: each record would find it out anew, caller and thread above all
# (Python's Logging HOWTO, "Optimization").
_UNTOLD = {
    "_srcfile": None,
    "logThreads": False,
    "logProcesses": False,
    "logMultiprocessing": False,
    "logAsyncioTasks": False,
}

# A line break or an escape sequence in a value would let a caller forge lines or colour a
# terminal.  The two separators of Unicode are line breaks to some readers.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


class Formatter(logging.Formatter):
    """``[21/Nov/2026:03:15:31] INFO espm.reload - reloaded TLS files``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of *record*, with its traceback in indented lines below."""
        when = _stamp(int(record.created))
        text = _plain(record.getMessage())[:_LONGEST]
        line = f"[{when}] {record.levelname} {record.name} {request_id.get()} {text}"
        if not record.exc_info:
            return line
        # An exception may quote what others sent, so no line of it may look like one of ours.
        traceback = self.formatException(record.exc_info).split("\n")
        return "\n  ".join([line, *(_plain(each)[:_LONGEST] for each in traceback)])


class Bound(logging.Filter):
    """Bounds the lines that requests of strangers cause, and says how many it left out.

    Anybody can send requests without end.

    :param pace: how many lines there may be.
    :param apart: loggers whose lines have such a bound of their own.
    """

    def __init__(
        self,
        pace: Pace = _BY_STRANGERS,
        apart: tuple[str, ...] = ("espm.api.auth",),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._pace = pace
        self._clock = clock
        self._due = dict.fromkeys((*apart, ""), 0.0)
        self._left_out = 0
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether *record* is to be written."""
        if not stranger.get():
            return True
        with self._lock:
            if not self._may_pass(record.name if record.name in self._due else ""):
                self._left_out += 1
                return False
            silent, self._left_out = self._left_out, 0
        if silent:
            _say("%d lines about requests without a known key were left out", silent)
        return True

    def _may_pass(self, kind: str) -> bool:
        later = self._pace.take(self._due[kind], self._clock())
        if later is not None:
            self._due[kind] = later
        return later is not None


def _say(message: str, *args: object) -> None:
    """Log *message* whoever the request is of."""
    before = stranger.set(False)
    logging.getLogger(__name__).warning(message, *args)
    stranger.reset(before)


@lru_cache(maxsize=2)
def _stamp(second: int) -> str:
    return time.strftime("%d/%b/%Y:%H:%M:%S", time.localtime(second))


class BusFormatter(logging.Formatter):
    """CherryPy's own messages, in its own form: ``[time] ENGINE Bus STARTING``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message, which CherryPy has stamped already."""
        text = record.getMessage()
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def _plain(text: str) -> str:
    """Return *text* with its control characters written as escapes."""
    if text.isprintable():
        return text
    return _CONTROL.sub(lambda found: ascii(found.group())[1:-1], text)


def configure(level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send espm's and CherryPy's messages to *stream* (standard output).  Idempotent."""
    vars(logging).update(_UNTOLD)
    for name, formatter in (("espm", Formatter()), ("cherrypy.error", BusFormatter())):
        handler = logging.StreamHandler(stream or sys.stdout)
        handler.setFormatter(formatter)
        handler.addFilter(Bound())
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False
