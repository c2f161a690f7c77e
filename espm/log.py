"""Logging: CherryPy's form on stdout, one request id through all lines of a request.

A supervisor reads standard output; nothing else is written anywhere.  The time is the machine's
local time in CherryPy's form, so that bus messages and ours sort together.
"""

from __future__ import annotations

import logging
import re
import sys
from contextvars import ContextVar
from datetime import datetime
from typing import TextIO

#: The id of the request that this thread works on, ``-`` outside of one.
request_id: ContextVar[str] = ContextVar("request_id", default="-")

# A line break or an escape sequence in a value would let a caller forge lines or colour a
# terminal.  The two separators of Unicode are line breaks to some readers.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


class Formatter(logging.Formatter):
    """``[21/Nov/2026:03:15:31] INFO espm.nodes req-1 added web1.example.com``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of *record*, with its traceback in indented lines below."""
        when = datetime.fromtimestamp(record.created).astimezone().strftime("%d/%b/%Y:%H:%M:%S")
        text = _plain(record.getMessage())
        line = f"[{when}] {record.levelname} {record.name} {request_id.get()} {text}"
        if not record.exc_info:
            return line
        # An exception may quote what others sent, so no line of it may look like one of ours.
        traceback = self.formatException(record.exc_info).split("\n")
        return "\n  ".join([line, *map(_plain, traceback)])


class BusFormatter(logging.Formatter):
    """CherryPy's own messages, in its own form: ``[time] ENGINE Bus STARTING``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message, which CherryPy has stamped already."""
        text = record.getMessage()
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def _plain(text: str) -> str:
    """Return *text* with its control characters written as escapes."""
    return _CONTROL.sub(lambda found: ascii(found.group())[1:-1], text)


def configure(level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send espm's and CherryPy's messages to *stream* (standard output).  Idempotent."""
    for name, formatter in (("espm", Formatter()), ("cherrypy.error", BusFormatter())):
        handler = logging.StreamHandler(stream or sys.stdout)
        handler.setFormatter(formatter)
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False
