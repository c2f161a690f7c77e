"""What the ENC costs: one name, whole process, beside the shell that prints the same file."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from espm.classifier.directory import prepare
from tests.bench.figure import Figure, announce, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENC = Path(__file__).parents[2] / "etc/espm_enc"
TURNS, EACH, WARM_UP = 20, 25, 3
SIZES = (10, 10_000, 1_000_000)

DOCUMENT = '{"espm": {"generation": 1, "version": 1, "state": "present"},\n'
BODY = '"environment": "production", "classes": {"ntp": {}}, "parameters": {"role": "web"}}\n'


def figures() -> Iterator[Figure]:
    """Measure one name among few, then among ever more."""
    with directory() as path:
        fill(path, 0, SIZES[0])
        name = file_name(5)
        ours = spawned([str(ENC), "-d", str(path), name])
        bare = spawned(["/bin/sh", "-c", f"exec cat {path}/{name}.json"])
        work, yardstick = "espm_enc for one name, whole process", "`sh -c 'exec cat FILE'`"
        yield announce(Figure("enc", work, yardstick, *race(ours, bare), "ms", 1.5))
        yield from _sizes(path)


def _sizes(path: Path) -> Iterator[Figure]:
    """Hold a directory that grows against a small one, in the same turns."""
    with directory() as small:
        fill(small, 0, SIZES[0])
        bare = spawned([str(ENC), "-d", str(small), file_name(5)])
        for number, size in enumerate(SIZES):
            fill(path, SIZES[number - 1] if number else 0, size)
            ours = spawned([str(ENC), "-d", str(path), file_name(size // 2)])
            work = f"espm_enc beside {size:,} nodes"
            pair = race(ours, bare)
            yield announce(Figure("enc", work, f"itself beside {SIZES[0]}", *pair, "ms", 1.2))


@contextmanager
def directory() -> Iterator[Path]:
    """Make an ENC directory on a disk, and remove it."""
    with TemporaryDirectory(prefix="espm-bench-") as name:
        path = Path(name) / "enc"
        path.mkdir()
        prepare(path)
        yield path
        shutil.rmtree(path)


def file_name(number: int) -> str:
    """Return the certname of a node."""
    return f"web-{number}.bench.example.com"


def fill(path: Path, first: int, last: int) -> None:
    """Write documents as the classifier does, but for the fsync of each."""
    begin = time.monotonic()
    descriptor = os.open(path, os.O_RDONLY)
    for number in range(first, last):
        flags = os.O_WRONLY | os.O_CREAT
        file = os.open(f"{file_name(number)}.json", flags, 0o640, dir_fd=descriptor)
        os.write(file, (DOCUMENT + BODY).encode())
        os.close(file)
    os.close(descriptor)
    if last > 100_000:
        say(f"({last - first:,} documents written in {time.monotonic() - begin:.0f} s)")


def race(ours: Callable[[], None], theirs: Callable[[], None]) -> tuple[list[float], list[float]]:
    """Let both take turns; return the milliseconds that one took, turn by turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(WARM_UP + TURNS):
        for act, kept in zip((ours, theirs), times, strict=True):
            begin = time.perf_counter()
            for _ in range(EACH):
                act()
            if number >= WARM_UP:
                kept.append(1000 * (time.perf_counter() - begin) / EACH)
    return times


def spawned(argv: list[str]) -> Callable[[], None]:
    """Return what runs a program to its end, its output thrown away.

    :raises RuntimeError: (when called) it failed.
    """
    to_null = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]

    def run() -> None:
        pid = os.posix_spawn(argv[0], argv, {"PATH": "/usr/bin:/bin"}, file_actions=to_null)
        if code := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            message = f"{argv} ended with {code}"
            raise RuntimeError(message)

    return run
