"""What threads cost in memory."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SAY = """
import ctypes, sys, threading
from espm import memory
if sys.argv[2] == "bound":
    memory.bound_arenas()
ready, kept = threading.Barrier(9), []
def work():
    kept.append([bytes(1000) for _ in range(100)])
    ready.wait(30)
    ready.wait(30)
for _ in range(8):
    threading.Thread(target=work).start()
ready.wait(30)
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
ready.wait(30)
"""


def _arenas(path: Path, how: str) -> int:
    subprocess.run([sys.executable, "-c", _SAY, str(path), how], check=True, timeout=60)
    return path.read_text().count("<heap nr=")


def test_threads_share_two_arenas(tmp_path: Path) -> None:
    """Eight threads have no more than two arenas of malloc; left alone, they have more."""
    assert _arenas(tmp_path / "free", "free") > 2
    assert _arenas(tmp_path / "bound", "bound") <= 2
