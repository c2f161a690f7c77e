"""How often something may happen: a few times at once, and no faster than a rate in the long run.

This is the generic cell rate algorithm.  All that is kept of what happened is one number, the time
at which the whole burst is free again; so a table of thousands of peers is a table of numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Pace:
    """A limit in time.

    :ivar most: how many may come at once.
    :ivar seconds: the time in which as many may come again.
    """

    most: int
    seconds: float

    def take(self, due: float, now: float) -> float | None:
        """Return the new *due* if one more may come *now*, else None.

        :param due: what the last call returned; anything not after *now* for a fresh start.
        """
        later = max(due, now) + self.seconds / self.most
        return later if later - now <= self.seconds + _ROUNDING else None

    def wait(self, due: float, now: float) -> float:
        """Return the seconds until :meth:`take` would say yes."""
        return max(0.0, due + self.seconds / self.most - self.seconds - now)
