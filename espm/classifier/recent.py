"""The nodes that were classified last, to be laid over an older look at the ledger.

A change publishes its document before the ledger has the new version.  A reload of the groups
that reads the ledger in between would write the old classification's document back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from espm.model import Certname, Node

#: How many nodes are remembered; a change is over in milliseconds.
REMEMBERED = 1000


class Recent:
    """The last nodes that were classified; for one thread at a time."""

    def __init__(self) -> None:
        self._nodes: dict[Certname, Node] = {}

    def add(self, node: Node) -> None:
        """Remember *node* as it is now."""
        self.drop(node)
        self._nodes[node.certname] = node
        if len(self._nodes) > REMEMBERED:
            del self._nodes[next(iter(self._nodes))]

    def drop(self, node: Node) -> None:
        """Forget what is known of the name of *node*."""
        self._nodes.pop(node.certname, None)

    def newest(self, nodes: Iterable[Node]) -> dict[Certname, Node]:
        """Return *nodes* by name, each replaced by the one remembered if that is later."""
        live = {node.certname: node for node in nodes}
        for certname, node in self._nodes.items():
            known = live.get(certname)
            if known is None or _age(known) < _age(node):
                live[certname] = node
        return live


def _age(node: Node) -> tuple[int, int]:
    return node.generation, node.version
