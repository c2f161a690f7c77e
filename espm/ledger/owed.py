"""Claims that should have been given up while the database was away, or that nobody knows of.

Without this they would stand until their lease is over, and their nodes be busy until then.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from espm.ledger.claims import Parting


class Owed:
    """Claims to be given up; for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._partings: dict[tuple[str, int], Parting] = {}

    def add(self, parting: Parting) -> None:
        """Remember that a claim is to be given up."""
        with self._lock:
            self._partings[parting.intent.ident, parting.intent.attempts] = parting

    def all(self) -> Collection[Parting]:
        """Return what is owed now."""
        with self._lock:
            return tuple(self._partings.values())

    def drop(self, paid: Collection[Parting]) -> None:
        """Forget what was written."""
        with self._lock:
            for intent, *_ in paid:
                self._partings.pop((intent.ident, intent.attempts), None)
