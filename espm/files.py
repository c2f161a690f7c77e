"""Small files by their descriptors, in as few steps as there are.

A launch reads and writes half a dozen of them with cold caches, where a file object takes longer
than the file (docs/decisions/0026-sqlite-without-detours.md).
"""

from __future__ import annotations

import os

_CHUNK = 64 * 1024


def read(file: str) -> bytes:
    """Return the content of *file*.

    :raises OSError: it is not there, or can't be read.
    """
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return content(fd)
    finally:
        os.close(fd)


def content(fd: int) -> bytes:
    """Return what is left to be read of an open file, a regular one.

    :raises OSError: it can't be read.
    """
    parts = [os.read(fd, _CHUNK)]
    # Less than was asked for is the end of a file.
    while len(parts[-1]) == _CHUNK:
        parts.append(os.read(fd, _CHUNK))
    return b"".join(parts)


def fill(fd: int, content: bytes) -> None:
    """Write all of *content* to an open file.

    :raises OSError: it can't be written, or not all of it.
    """
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]
