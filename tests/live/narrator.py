"""Tells on a terminal what a demonstration does: steps, commands, their real output, checks.

Nothing is wider than 100 columns; colours only on a terminal; what is left out is said.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 100
_STEP, _COMMAND, _GOOD, _BAD, _FAINT = "1;36", "1", "32", "1;31", "2"

#: What Facter says in containers that hide some of /proc: true, and of no interest here.
_NOISE = re.compile(r"Facter.*Permission denied|/proc/1/environ")

#: How long a text in JSON may be, and how many elements of a list are shown.
_LONGEST, _MOST = 52, 4


class DemoFailed(Exception):
    """A step did not do what it should; the message says which and what came instead."""


class Narrator:
    """Writes to *stream*; counts steps and time."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self._colours = stream.isatty()
        self._steps = 0
        self._begin = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begin

    def step(self, title: str) -> None:
        """Begin the next step."""
        self._steps += 1
        self._write("")
        self._write(f"== {self._steps}. {title}", _STEP)

    def say(self, text: str) -> None:
        """Explain something in a sentence or two."""
        for line in textwrap.wrap(text, WIDTH):
            self._write(line)

    def command(self, line: str) -> None:
        """Show a command as a person would type it."""
        for number, part in enumerate(line.splitlines()):
            self._write(f"{'$' if number == 0 else ' '} {part}", _COMMAND)

    def output(self, text: str) -> None:
        """Show what a command printed, all but known noise."""
        lines = text.strip("\n").splitlines()
        shown = [line for line in lines if not _NOISE.search(line)]
        for line in shown:
            self._folded(line.rstrip())
        if left_out := len(lines) - len(shown):
            self._write(f"  ({left_out} lines of Facter on files it may not read left out)", _FAINT)

    def json(self, value: Any) -> None:
        """Show a JSON value, pretty-printed and shortened."""
        for line in pretty(shortened(value)).splitlines():
            self._folded(line)

    def check(self, holds: object, fact: str, instead: object = "") -> None:
        """Say that *fact* holds.

        :param instead: what there is, for the message when it does not.
        :raises DemoFailed: it does not.
        """
        if not holds:
            message = (
                f"step {self._steps}: not so: {fact}; instead: {' '.join(str(instead).split())}"
            )
            raise DemoFailed(message)
        self._write(f"  ok: {fact}", _GOOD)

    def failed(self, message: str) -> None:
        """Say in one line why the demonstration ends early."""
        self._write(message, _BAD)

    @contextmanager
    def waiting(self, what: str, every: float = 5) -> Iterator[None]:
        """Show that time passes until the block ends: a line each *every* seconds."""
        begin, done = time.monotonic(), threading.Event()

        def tick() -> None:
            while not done.wait(every):
                self._write(f"  {what} ... {time.monotonic() - begin:.0f} s", _FAINT)

        ticking = threading.Thread(target=tick, daemon=True)
        ticking.start()
        try:
            yield
        finally:
            done.set()
            ticking.join()
        self._write(f"  {what}: {time.monotonic() - begin:.0f} s")

    def _folded(self, line: str) -> None:
        indent = " " * (len(line) - len(line.lstrip()))
        folded = textwrap.wrap(
            line.strip(),
            WIDTH - 2,
            initial_indent=indent,
            subsequent_indent=f"{indent}  ",
            break_on_hyphens=False,
        )
        for part in folded or [""]:
            self._write(f"  {part}".rstrip())

    def _write(self, line: str, colour: str = "") -> None:
        if self._colours and colour:
            line = f"\x1b[{colour}m{line}\x1b[0m"
        self._stream.write(f"{line}\n")
        self._stream.flush()


def shortened(value: Any) -> Any:
    """Return a JSON value with long texts and lists cut, each with a mark of what is missing."""
    if isinstance(value, dict):
        return {key: shortened(each) for key, each in value.items()}
    if isinstance(value, list):
        more = [f"... {len(value) - _MOST} more"] if len(value) > _MOST else []
        return [*(shortened(each) for each in value[:_MOST]), *more]
    if isinstance(value, str) and len(value) > _LONGEST:
        return f"{value[:_LONGEST].strip()}..."
    return value


def pretty(value: Any, indent: str = "") -> str:
    """Return JSON that has on one line what fits there."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + len(indent) < WIDTH - 24 or not isinstance(value, dict | list) or not value:
        return flat
    inner = indent + "  "
    if isinstance(value, dict):
        rows = [f"{inner}{json.dumps(k)}: {pretty(v, inner)}" for k, v in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    rows = [inner + pretty(each, inner) for each in value]
    return "[\n" + ",\n".join(rows) + f"\n{indent}]"
