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
# terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]|\n(?!  |Traceback)")


class Formatter(logging.Formatter):
    """``[21/Nov/2026:03:15:31] INFO espm.nodes req-1 added web1.example.com``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line (or, with a traceback, the lines) of *record*."""
        when = datetime.fromtimestamp(record.created).astimezone().strftime("%d/%b/%Y:%H:%M:%S")
        text = _CONTROL.sub(lambda found: repr(found.group())[1:-1], record.getMessage())
        line = f"[{when}] {record.levelname} {record.name} {request_id.get()} {text}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class BusFormatter(logging.Formatter):
    """CherryPy's own messages, in its own form: ``[time] ENGINE Bus STARTING``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message, which CherryPy has stamped already."""
        text = record.getMessage()
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def configure(level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send espm's and CherryPy's messages to *stream* (standard output).  Idempotent."""
    for name, formatter in (("espm", Formatter()), ("cherrypy.error", BusFormatter())):
        handler = logging.StreamHandler(stream or sys.stdout)
        handler.setFormatter(formatter)
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False
