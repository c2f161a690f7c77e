"""Leaves no process behind, whenever and however a program is interrupted.

A private server is in a session of its own, and a command that was cut short may have started
others: they all become children of ours when their parents end (prctl(2), PR_SET_CHILD_SUBREAPER),
and so are found and ended by their ids.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER in linux/prctl.h


class Interrupted(BaseException):
    """A signal asked for the end; its number is `args[0]`."""


@contextmanager
def tidied() -> Iterator[None]:
    """End every process that the block started, after the block.

    SIGINT, SIGTERM and SIGHUP raise Interrupted in the block, once: what ends things orderly is
    not interrupted again.
    """
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    first = True

    def interrupt(number: int, _frame: object) -> None:
        nonlocal first
        if first:
            first = False
            raise Interrupted(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        first = False
        end_children()


def end_children() -> None:
    """End all descendants of this process and return when there are none."""
    while True:
        for pid in _children():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            # Those of a child that ends now are ours next, so look again after each.
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)
        except ChildProcessError:
            return


def _children() -> list[int]:
    """Return the children of this process (proc(5), /proc/pid/stat: state and ppid follow ")")."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[1] == str(os.getpid()):
                found.append(int(stat.parent.name))
    return found
