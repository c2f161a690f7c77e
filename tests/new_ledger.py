"""A new ledger on SQLite: made once in a process, for it takes its time, and written many times."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from espm.ledger import upgrade


def write(path: Path) -> None:
    """Write an empty ledger of this version's schema to *path*."""
    path.write_bytes(_content())


@cache
def _content() -> bytes:
    with TemporaryDirectory(prefix="espm-ledger-") as name:
        path = Path(name) / "ledger.db"
        upgrade(f"sqlite:///{path}")
        return path.read_bytes()
