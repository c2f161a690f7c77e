"""Daemons that start fast, because they are forked from a process that has imported everything."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from tests.api.process import REPOSITORY, STARTED

if TYPE_CHECKING:
    from pathlib import Path


class Nursery:
    """The process that daemons are forked from, while the block runs."""

    def __init__(self, interpreter: str = sys.executable, **options: Any) -> None:
        """Prepare one.

        :param options: for subprocess.Popen: who it is, and where it imports from.
        """
        self._argv = [interpreter, "-m", "tests.torture.daemon"]
        self._options = {"cwd": REPOSITORY, **options}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **self._options
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def start(self, config: Path, orders: Path, output: Path) -> Child:
        """Start a daemon; it may not serve yet."""
        assert self._process.stdin
        assert self._process.stdout
        since = output.stat().st_size if output.exists() else 0
        with self._lock:
            self._process.stdin.write(json.dumps([str(config), str(orders), str(output)]) + "\n")
            self._process.stdin.flush()
            return Child(int(self._process.stdout.readline()), output, since)


class Child:
    """A daemon that the nursery started.

    :ivar since: where its part of *output* begins.
    """

    def __init__(self, pid: int, output: Path, since: int) -> None:
        self.pid = pid
        self._output = output
        self._since = since
        # The nursery keeps one that has ended as a zombie, so its number is not another's yet.
        self._fd = os.pidfd_open(pid)
        self._over = False

    @property
    def text(self) -> str:
        """What it has written so far."""
        if not self._output.exists():
            return ""
        return self._output.read_bytes()[self._since :].decode(errors="replace")

    def ended(self, seconds: float = 0) -> bool:
        """Return whether it has ended, or does within so many seconds."""
        if not self._over and select.select([self._fd], [], [], seconds)[0]:
            os.close(self._fd)
            self._over = True
        return self._over

    def serving(self, seconds: float = 30) -> bool:
        """Return once it serves, or False when it ends before."""
        end = time.monotonic() + seconds
        while STARTED not in self.text:
            if self.ended(0.005):
                return False
            assert time.monotonic() < end, self.text
        return True

    def kill(self) -> None:
        """Kill it, if it still runs, and return when it is gone.  Idempotent."""
        if not self.ended():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, signal.SIGKILL)
        assert self.ended(20)
