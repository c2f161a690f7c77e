"""Claims that should have been given up while the database was away.

Without this they would stand until their lease is over, and their nodes be busy until then.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from espm.model import Intent


class Owed:
    """Intents to be left, each with the reason; for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._intents: dict[tuple[str, int], tuple[Intent, str]] = {}

    def add(self, intent: Intent, error: str) -> None:
        """Remember that *intent* is to be left."""
        with self._lock:
            self._intents[intent.ident, intent.attempts] = (intent, error)

    def all(self) -> Collection[tuple[Intent, str]]:
        """Return what is owed now."""
        with self._lock:
            return tuple(self._intents.values())

    def drop(self, paid: Collection[tuple[Intent, str]]) -> None:
        """Forget what was written."""
        with self._lock:
            for intent, _ in paid:
                self._intents.pop((intent.ident, intent.attempts), None)
