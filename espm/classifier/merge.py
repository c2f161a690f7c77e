"""Groups and node become one classification.

Parents come first and later groups after earlier ones; for classes the last word on each
parameter counts, and the node's own word is the last.  Top-scope parameters and the environment
have no such order between groups that are not related: there, two different words are a
contradiction, which only the node's own word settles.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

from espm.errors import InvalidClassification
from espm.model import Catalogable
from espm.names import hints

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from espm.model import Classification, Group, Json


#: What groups say of one thing, by group.
_Said: TypeAlias = "dict[str, Json]"


def merge(classification: Classification, groups: Mapping[str, Group], default: str) -> Catalogable:
    """Return what Puppet is to be told of a node.

    :param groups: every group by name; parents exist and there are no loops.
    :param default: the environment where neither the node nor a group names one.
    :raises espm.errors.InvalidClassification: unknown groups or contradictions, each named.
    """
    if unknown := [name for name in classification.groups if name not in groups]:
        pairs = zip(unknown, hints(unknown, groups), strict=True)
        _refuse([f"group '{name}' does not exist{guess}" for name, guess in pairs])
    applied = _applied(classification.groups, groups)
    environments, parameters = _said(applied, classification)
    faults = _settle("environment", environments, groups)
    for name, values in parameters.items():
        faults += _settle(f"parameter '{name}'", values, groups)
    _refuse(faults)
    inherited = {name: _last(values) for name, values in parameters.items()}
    return Catalogable(
        environment=classification.environment or _last(environments) or default,
        classes=_classes(applied, classification),
        parameters={**inherited, **classification.parameters},
    )


def lineage(name: str, groups: Mapping[str, Group]) -> list[str]:
    """Return the group's ancestors, the oldest first, and the group itself last."""
    line = [name]
    while (parent := groups[line[-1]].parent) is not None:
        line.append(parent)
    return line[::-1]


def _applied(names: Iterable[str], groups: Mapping[str, Group]) -> list[Group]:
    order = dict.fromkeys(step for name in names for step in lineage(name, groups))
    return [groups[name] for name in order]


def _said(applied: Sequence[Group], node: Classification) -> tuple[_Said, dict[str, _Said]]:
    """Return which group says what of environment and parameters, where the node is silent."""
    environments: _Said = {}
    parameters: dict[str, _Said] = {}
    for group in applied:
        if group.environment is not None and node.environment is None:
            environments[group.name] = group.environment
        for name, value in group.parameters.items():
            if name not in node.parameters:
                parameters.setdefault(name, {})[group.name] = value
    return environments, parameters


def _settle(what: str, said: _Said, groups: Mapping[str, Group]) -> list[str]:
    """Drop from *said* what a descendant says anew; return the contradiction that is left."""
    for name in list(said):
        for ancestor in lineage(name, groups)[:-1]:
            said.pop(ancestor, None)
    if len({json.dumps(value, sort_keys=True) for value in said.values()}) < 2:
        return []
    names = ", ".join(f"'{name}'" for name in said)
    return [f"the groups {names} disagree on the {what}; set it on the node"]


def _last(values: _Said) -> Json:
    return list(values.values())[-1] if values else None


def _classes(applied: Iterable[Group], node: Classification) -> Mapping[str, Mapping[str, Json]]:
    classes: dict[str, dict[str, Json]] = {}
    for layer in (*(group.classes for group in applied), node.classes):
        for name, parameters in layer.items():
            classes.setdefault(name, {}).update(parameters)
    return classes


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        raise InvalidClassification("; ".join(faults), faults)
