"""Which of two documents of one name is the later one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What a document says to Puppet: take this catalog, or none."""

    PRESENT = "present"
    WITHHELD = "withheld"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the head of a document says of it."""

    generation: int
    version: int
    state: State

    @property
    def precedence(self) -> tuple[int, bool, int]:
        """Grows along the life of a name; a tombstone ends its generation at any version."""
        return self.generation, self.state is State.WITHHELD, self.version
