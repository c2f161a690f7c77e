"""Whether a groups file fits the nodes that exist and the code that Puppet has.

The file was found to be well formed before; here it meets the world.  All that does not fit is
told at once, since the administrator mends the file in an editor, not fault by fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from espm.classifier.merge import merge
from espm.classifier.render import body
from espm.errors import GroupsError, InvalidClassification
from espm.model import Classification, NodeState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from espm.model import Catalogable, Group, Node

#: Takes what a group alone makes of a node, and returns what Puppet does not have of it.
Check: TypeAlias = "Callable[[Catalogable], Sequence[str]]"


def unknown(groups: Mapping[str, Group], environment: str, check: Check | None) -> list[str]:
    """Return what Puppet does not have of the groups; asks Puppet, which may take seconds.

    :param environment: the one for groups that name none.
    :param check: what to ask about the code; None asks nothing.
    """
    if check is None:
        return []
    return [
        f"group '{name}': {fault}"
        for name in groups
        for fault in check(merge(Classification(groups=(name,)), groups, environment))
    ]


def misfits(groups: Mapping[str, Group], nodes: Iterable[Node], environment: str) -> list[str]:
    """Return which nodes the groups do not fit: a group is gone, or groups contradict each other.

    :param nodes: live nodes; those being deleted don't count, for nothing is said of them.
    """
    living = (node for node in nodes if node.state is not NodeState.DELETING)
    return [fault for node in living for fault in _misfit(node, groups, environment)]


def require(faults: list[str]) -> None:
    """Return when there are no *faults*.

    :raises espm.errors.GroupsError: with all of them.
    """
    if faults:
        raise GroupsError(faults)


def _misfit(node: Node, groups: Mapping[str, Group], environment: str) -> list[str]:
    try:
        body(merge(node.classification, groups, environment))
    except InvalidClassification as exc:
        return [f"node {node.certname}: {fault}" for fault in exc.faults]
    return []
