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


def require(
    groups: Mapping[str, Group], nodes: Iterable[Node], environment: str, check: Check | None
) -> None:
    """Return when the groups fit.

    :param nodes: live nodes; those being deleted don't count, for nothing is said of them.
    :param environment: the one for nodes for which nobody names one.
    :param check: what to ask about the code; None asks nothing.
    :raises espm.errors.GroupsError: a node's group is gone, a node's groups contradict each
        other, or *check* found something.
    """
    faults = [f for name in groups if check for f in _unknown(name, groups, environment, check)]
    for node in nodes:
        if node.state is not NodeState.DELETING:
            faults += _contradictions(node, groups, environment)
    if faults:
        raise GroupsError(faults)


def _unknown(name: str, groups: Mapping[str, Group], environment: str, check: Check) -> list[str]:
    alone = merge(Classification(groups=(name,)), groups, environment)
    return [f"group '{name}': {fault}" for fault in check(alone)]


def _contradictions(node: Node, groups: Mapping[str, Group], environment: str) -> list[str]:
    try:
        body(merge(node.classification, groups, environment))
    except InvalidClassification as exc:
        return [f"node {node.certname}: {fault}" for fault in exc.faults]
    return []
