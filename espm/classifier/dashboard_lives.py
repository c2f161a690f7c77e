"""What this process told the dashboard of which node, as the dashboard itself keeps no note of it.

A dashboard knows names; generations and versions are espm's own.  After a restart nothing is
known, and the use cases are trusted that whatever the ledger has is ours.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from espm.model import Certname, Node

#: How many names are remembered; the one that was touched least recently goes first.
REMEMBERED = 10_000


class State(Enum):
    """How a generation of a name stands in the dashboard."""

    OURS = auto()
    WITHHELD = auto()
    FORGOTTEN = auto()
    FOREIGN = auto()


@dataclass(frozen=True, slots=True)
class Life:
    """The latest generation of a name that the dashboard was told of.

    :ivar version: the one that is in force; 0 while none is.
    :ivar parameters: those the node has of us; None when that is not known.
    """

    generation: int
    version: int
    state: State
    parameters: Mapping[str, str] | None = None

    @property
    def is_ours(self) -> bool:
        """Whether the dashboard has a node that we made."""
        return self.state in (State.OURS, State.WITHHELD)

    def outlasts(self, node: Node) -> bool:
        """Return whether *node* is of a life that is over, or of an earlier one."""
        if self.generation == node.generation:
            return self.state is not State.OURS
        return self.generation > node.generation

    def covers(self, node: Node) -> bool:
        """Return whether there is nothing to be told of *node* any more."""
        if self.outlasts(node):
            return True
        return self.generation == node.generation and self.version >= node.version


class Lives:
    """The lives by name; for one thread at a time."""

    def __init__(self) -> None:
        self._lives: OrderedDict[Certname, Life] = OrderedDict()

    def get(self, certname: Certname) -> Life | None:
        """Return what is known of a name."""
        return self._lives.get(certname)

    def put(self, certname: Certname, life: Life) -> None:
        """Remember a name as it is now."""
        self._lives[certname] = life
        self._lives.move_to_end(certname)
        if len(self._lives) > REMEMBERED:
            self._lives.popitem(last=False)
