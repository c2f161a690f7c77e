"""How many objects of a kind there are, for tests of what goes by itself."""

from __future__ import annotations

import gc


def living(kind: type) -> int:
    """Return how many of *kind* there are."""
    return sum(isinstance(each, kind) for each in gc.get_objects())
