"""What the C library keeps of the memory that was freed."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

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
    """Return what malloc says of itself after *work*, with one of espm's settings or none."""
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
