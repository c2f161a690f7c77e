"""The only place where espm starts other programs.

A program gets no shell, nothing of our environment, no terminal, a home directory of its own
that is empty and goes afterwards, and a time in which it has to end.  It leads its own process
group; whatever is left of that group when it ends or is late is killed, so that a grandchild
that keeps our pipe open keeps nobody waiting.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from selectors import EVENT_READ, DefaultSelector
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, TypeAlias

from espm.errors import BackendSilent, BackendUnavailable
from espm.model.output import Output

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: What is kept of each output stream, in bytes; the rest is read and dropped.
LONGEST = 1024 * 1024

#: Seconds a program has between SIGTERM and SIGKILL when it was late.
GRACE = 1.0

__all__ = ["GRACE", "LONGEST", "Output", "run"]

_ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    "PATH": "/opt/puppetlabs/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}


class _Kept(bytearray):
    """What is kept of an output stream: its first *most* bytes."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def keep(self, data: bytes) -> None:
        self += data[: self.most - len(self)]


_Outputs: TypeAlias = "dict[IO[bytes], _Kept]"


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    most: int = LONGEST,
) -> Output:
    """Run a program to its end and return how it ended, whatever its exit status.

    :param argv: the program's absolute path and its arguments.
    :param timeout: seconds it may take; then it is killed, and what it did is unknown.
    :param stdin: what it reads; nothing by default.
    :param env: variables to add to the few it gets.
    :param most: how many bytes are kept of each output.
    :raises espm.errors.BackendUnavailable: it cannot be started, or there is no room for its home.
    :raises espm.errors.BackendSilent: it was late.
    :raises ValueError: its path is not absolute.
    """
    if not argv[0].startswith("/"):
        msg = f"not an absolute path: {argv[0]}"
        raise ValueError(msg)
    with (
        _home() as home,
        _started(argv, {**_ENVIRONMENT, "HOME": home, **(env or {})}, stdin) as process,
    ):
        stdout, stderr = _gather(process, time.monotonic() + timeout, most)
    return Output(process.returncode, stdout, stderr)


@contextmanager
def _home() -> Iterator[str]:
    """Give an empty directory; what a program that goes on puts there meanwhile may stay."""
    try:
        home = TemporaryDirectory(prefix="espm-", ignore_cleanup_errors=True)
    except OSError as exc:
        msg = "a program that espm needs has no place for its files; espm's log says why"
        raise BackendUnavailable(msg) from exc
    with home as path:
        yield path


@contextmanager
def _started(
    argv: Sequence[str], env: Mapping[str, str], stdin: bytes | None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the program; nothing of its process group survives the block."""
    with _input(stdin) as source:
        try:
            process = subprocess.Popen(  # noqa: S603 - absolute path, no shell, own environment  # nosec B603
                argv,
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env=env,
                start_new_session=True,
            )
        except OSError as exc:
            msg = "a program that espm needs cannot be started; espm's log says which"
            raise BackendUnavailable(msg) from exc
    try:
        yield process
    finally:
        # Not waited for yet, so its id, which is the group's, cannot be anybody else's.
        killed = _signal(process, signal.SIGKILL)
        _bury(process, killed=killed)


@contextmanager
def _input(content: bytes | None) -> Iterator[int]:
    """Give *content* as a file in memory: no pipe that could fill up, nothing on a disk."""
    if content is None:
        yield subprocess.DEVNULL
        return
    with open(os.memfd_create("stdin"), "w+b") as file:  # noqa: PTH123 -- there is no path
        file.write(content)
        file.seek(0)
        yield file.fileno()


def _gather(process: subprocess.Popen[bytes], deadline: float, most: int) -> tuple[bytes, bytes]:
    """Return the program's outputs when it has ended; stop it when the deadline comes first."""
    assert process.stdout is not None  # noqa: S101 -- for the type checker: both are pipes
    assert process.stderr is not None  # noqa: S101
    outputs: _Outputs = {process.stdout: _Kept(most), process.stderr: _Kept(most)}
    with _pidfd(process) as ended, DefaultSelector() as selector:
        selector.register(ended, EVENT_READ)
        for stream in outputs:
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, EVENT_READ)
        _pump(process, ended, selector, outputs, deadline)
    for stream, output in outputs.items():
        _drain(stream, output)
    return bytes(outputs[process.stdout]), bytes(outputs[process.stderr])


def _pump(
    process: subprocess.Popen[bytes],
    ended: int,
    selector: DefaultSelector,
    outputs: _Outputs,
    deadline: float,
) -> None:
    """Read until the program has ended."""
    while ended not in (ready := _ready(selector, deadline)):
        if not ready:
            _stop(process, selector, [*outputs])
        for stream in outputs.keys() & ready:
            if not _read(stream, outputs[stream]):
                selector.unregister(stream)


def _ready(selector: DefaultSelector, deadline: float) -> set[object]:
    """Return what can be read; nothing means that the deadline has come."""
    left = deadline - time.monotonic()
    return {key.fileobj for key, _ in selector.select(left)} if left > 0 else set()


def _read(stream: IO[bytes], output: _Kept) -> bool:
    """Read what there is, and return whether there can be more later."""
    try:
        data = os.read(stream.fileno(), 65536)
    except BlockingIOError:
        return True
    output.keep(data)
    return bool(data)


def _drain(stream: IO[bytes], output: _Kept) -> None:
    """Read what the program left in the pipe; somebody may go on writing into it."""
    with suppress(BlockingIOError):
        while len(output) < output.most and (data := os.read(stream.fileno(), 65536)):
            output.keep(data)


def _stop(
    process: subprocess.Popen[bytes], selector: DefaultSelector, streams: list[IO[bytes]]
) -> None:
    """Have a late program end, gently at first: our caller kills what is left of it."""
    for stream in streams:
        with suppress(KeyError):
            selector.unregister(stream)
    _signal(process, signal.SIGTERM)
    selector.select(GRACE)
    msg = "a program that espm started did not end in time and was stopped"
    raise BackendSilent(msg) from TimeoutError(f"{process.args!r}")


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> bool:
    """Signal the process group, and return whether we may: what sudo has started is root's."""
    with suppress(ProcessLookupError):
        try:
            os.killpg(process.pid, number)
        except PermissionError:
            return False
    return True


def _bury(process: subprocess.Popen[bytes], *, killed: bool) -> None:
    """Wait for a program's end; in the background where we could not bring it about."""
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    if killed or process.poll() is not None:
        process.wait()
    else:
        threading.Thread(target=process.wait, name="espm buries", daemon=True).start()


@contextmanager
def _pidfd(process: subprocess.Popen[bytes]) -> Iterator[int]:
    """Give a descriptor that can be read when the program has ended."""
    descriptor = os.pidfd_open(process.pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
