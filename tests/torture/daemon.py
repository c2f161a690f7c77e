"""espm's own daemon with points around its ports; started by tests only.

``python -m tests.torture.daemon -c FILE`` is one daemon whose orders are in the directory
ESPM_POINTS.  ``python -m tests.torture.daemon`` without arguments is a nursery: for each line on
standard input it forks a daemon, which saves the half second that importing everything takes, and
prints its process id.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine.default import DefaultDialect

from espm import compose, daemon
from espm import ports as needs
from espm.classifier import directory
from tests.torture.points import Points

if TYPE_CHECKING:
    from collections.abc import Callable

    from espm.config import Config

PORTS = {
    "ledger": needs.Ledger,
    "classifier": needs.Classifier,
    "catalogue": needs.ClassCatalogue,
    "ca": needs.CertificateAuthority,
}

#: What the documents of the ENC are changed by, on the file system.
STEPS = ("fchmod", "fsync", "rename", "unlink", "pwrite", "fdatasync")

_PR_SET_PDEATHSIG = 1


def methods(port: str) -> list[str]:
    """Return the names of a port's methods."""
    return [name for name in dir(PORTS[port]) if name[0] != "_"]


class _Os:
    """The module ``os`` for the ENC directory, with points around what changes it."""

    def __init__(self, points: Points) -> None:
        for name in STEPS:
            setattr(self, name, _watched(points, name, getattr(os, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def _watched(points: Points, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def step(*arguments: Any, **options: Any) -> Any:
        points.passing(f"enc.{name} before", _full)
        answer = call(*arguments, **options)
        points.passing(f"enc.{name} after", _full)
        return answer

    return step


def _full() -> Exception:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def watch(points: Points) -> None:
    """Put points around all that the daemon of this process will touch."""
    build = compose.build_ports

    def build_watched(config: Config, store: needs.Ledger) -> needs.Ports:
        ports = build(config, store)
        for port in PORTS:
            _surround(points, port, getattr(ports, port))
        return ports

    # Put where the daemon and the documents have the names from.
    setattr(daemon, "build_ports", build_watched)  # noqa: B010 - mypy wants no name replaced
    setattr(directory, "os", _Os(points))  # noqa: B010
    _surround_commits(points)


def _surround(points: Points, port: str, adapter: Any) -> None:
    """Put points around the methods of *adapter*, which stays what it is."""
    for name in methods(port):
        # From the class: a copy of an adapter has the methods of the original in its way.
        method = getattr(type(adapter), name).__get__(adapter)
        setattr(adapter, name, points.around(f"{port}.{name}", method))
    if port == "ledger":
        note = adapter.noting

        def noting(*arguments: Any, **options: Any) -> Any:
            view = note(*arguments, **options)
            _surround(points, port, view)
            return view

        adapter.noting = noting


def _surround_commits(points: Points) -> None:
    """Put points around the commits of transactions that may write, as the driver makes them."""
    commit: Callable[..., None] = DefaultDialect.do_commit

    def watched(dialect: Any, connection: Any) -> None:
        broken: Callable[[], Exception] = dialect.loaded_dbapi.OperationalError
        points.passing("ledger.commit before", broken)
        commit(dialect, connection)
        points.passing("ledger.commit after", broken)

    setattr(DefaultDialect, "do_commit", watched)  # noqa: B010


def serve(config: Path, orders: Path) -> None:
    """Be a daemon until a signal, or an order, ends it."""
    watch(Points(orders))
    daemon.serve(config)


def nursery() -> None:
    """Fork a daemon for each line of standard input: configuration, orders, output."""
    for line in sys.stdin:
        # Not earlier: whoever opens a pidfd of one that has just ended must find it.
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        config, orders, output = map(Path, json.loads(line))
        pid = os.fork()
        if not pid:
            _be_born(output)
            serve(config, orders)
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _be_born(output: Path) -> None:
    """Become independent of the nursery, except that its end is ours, too."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((nothing, 0), (written, 1), (written, 2)):
        os.dup2(old, new)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(Path(sys.argv[2]), Path(os.environ["ESPM_POINTS"]))
    else:
        nursery()
