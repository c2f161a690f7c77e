"""What the C library keeps of the memory that was freed."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from espm import memory

if TYPE_CHECKING:
    from pathlib import Path

_SAY = """
import ctypes, sys, threading
from espm import memory
if sys.argv[2]:
    getattr(memory, sys.argv[2])()
def say():
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
    libc.malloc_info(0, file)
    libc.fclose(file)
"""

_THREADS = """
ready, kept = threading.Barrier(9), []
def work():
    kept.append([bytes(1000) for _ in range(100)])
    ready.wait(30)
    ready.wait(30)
for _ in range(8):
    threading.Thread(target=work).start()
ready.wait(30)
say()
ready.wait(30)
"""

_LARGE = """
kept = bytes(4_000_000)
kept = None
kept = bytes(1_000_000)
say()
"""


def _malloc(path: Path, work: str, setting: str) -> str:
    """Return what *work* says of its memory, with one of espm's settings or none."""
    command = [sys.executable, "-c", _SAY + work, str(path), setting]
    subprocess.run(command, check=True, timeout=60)
    return path.read_text()


def _mapped(said: str) -> int:
    """Return how many bytes malloc has from the system outside of its arenas."""
    found = re.search(r'<total type="mmap" count="\d+" size="(\d+)"/>', said)
    assert found
    return int(found[1])


def test_threads_share_two_arenas(tmp_path: Path) -> None:
    """Eight threads have no more than two arenas of malloc; left alone, they have more."""
    assert _malloc(tmp_path / "free", _THREADS, "").count("<heap nr=") > 2
    assert _malloc(tmp_path / "bound", _THREADS, "bound_arenas").count("<heap nr=") <= 2


def test_what_is_large_is_in_no_arena(tmp_path: Path) -> None:
    """Also when something larger was freed before; left alone, it would be in one then."""
    assert _mapped(_malloc(tmp_path / "free", _LARGE, "")) < 1_000_000
    assert _mapped(_malloc(tmp_path / "large", _LARGE, "return_large")) > 1_000_000


def test_what_is_free_between_what_is_used_is_given_back(tmp_path: Path) -> None:
    """The holes that a busy time leaves, which malloc itself would keep for the next one."""
    kept, given = _resident(tmp_path / "k", ""), _resident(tmp_path / "g", "memory.give_back()")

    assert given < kept - 10_000


_HOLES = """
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
pieces = [ctypes.c_void_p(libc.malloc(10_000)) for _ in range(2000)]
for piece in pieces:
    ctypes.memset(piece, 1, 10_000)
for piece in pieces[:-1]:
    libc.free(piece)
{call}
open(sys.argv[1], "w").write(open("/proc/self/status").read())
"""


def _resident(path: Path, call: str) -> int:
    """Return the kilobytes of a process that has holes, and made a call of ours or none."""
    found = re.search(r"VmRSS:\s+(\d+) kB", _malloc(path, _HOLES.format(call=call), ""))
    assert found
    return int(found[1])


def test_it_is_given_back_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a minute, for as long as espm runs."""
    given: list[str] = []

    def sleep(seconds: float) -> None:
        given.append(f"slept {seconds:.0f}")
        if len(given) > 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(memory, "give_back", lambda: given.append("given"))
    with pytest.raises(KeyboardInterrupt):
        memory.stay_small()

    assert given == ["slept 60", "given", "slept 60", "given", "slept 60"]
