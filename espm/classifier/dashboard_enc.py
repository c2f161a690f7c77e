"""What the dashboard's ENC says of a node, to see whether the tasks did what they said.

The classes are a list up to 1.2 and a hash later, those of the groups among them; every value is
a string; a node that the dashboard does not know is no error (reference facts on old Puppet, 4).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import yaml

from espm.errors import BackendError, BackendRefused, BackendUnavailable, InvalidClassification
from espm.rake import TaskFailed, folded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from espm.classifier.dashboard_values import Said
    from espm.model import Json
    from espm.model.output import Output
    from espm.ports.host import Host

#: What the helper ends with when its settings name no ENC.
ABSENT = 66

_CLASH = re.compile(r"conflicting parameter\(s\): ([\w, ]+)")

#: What PyYAML raises about a text, and about one that claims to be what it is not.
_UNREADABLE = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


class Told(NamedTuple):
    """What Puppet is told of a node, groups and node merged.

    :ivar is_known: whether the dashboard has the node.
    """

    is_known: bool
    classes: frozenset[str]
    parameters: Mapping[str, str]

    def differences(self, said: Said) -> list[str]:
        """Return what of *said* Puppet is not told, or is told otherwise."""
        missing = [f"class {name}" for name in said.classes if folded(name) not in self.classes]
        wanted = said.parameters.items()
        missing += [
            f"parameter {key}" for key, value in wanted if self.parameters.get(key) != value
        ]
        return missing


_Answer: TypeAlias = "Told | None"


class DashboardEnc:
    """The program ``external_node`` by way of the helper."""

    def __init__(self, host: Host, timeout: float) -> None:
        self._host = host
        self._timeout = timeout

    def told(self, name: str) -> _Answer:
        """Return what Puppet is told of *name*; None where the helper has no ENC to ask.

        :raises espm.errors.InvalidClassification: groups contradict each other.
        :raises espm.errors.BackendError: it does not answer, or nobody could read what it says.
        """
        output = self._host.call("enc", name, timeout=self._timeout)
        if output.status == ABSENT:
            return None
        if output.status:
            raise _failure(output)
        return _read(output.stdout)


def _failure(output: Output) -> BackendError | InvalidClassification:
    text = output.stderr.decode("utf-8", "replace")
    if found := _CLASH.search(text):
        fault = (
            f"groups give different values to {found[1]}; give the node a value of its own, "
            "or fewer groups"
        )
        return InvalidClassification(fault, [fault])
    failure: BackendError = BackendUnavailable("the dashboard's ENC does not answer")
    if "Error: 403" in text:
        msg = "the dashboard refuses to classify nodes; switch classification on in its settings"
        failure = BackendRefused(msg)
    failure.__cause__ = TaskFailed(f"exit status {output.status}: {text[:2000]}")
    return failure


def _read(answer: bytes) -> Told:
    try:
        # Without types: all values of the dashboard are strings, quoted or not.
        said = yaml.BaseLoader(answer).get_single_data()
        classes = frozenset(folded(name) for name in said["classes"] or ())
        return Told("name" in said, classes, _strings(said.get("parameters") or {}))
    except _UNREADABLE as exc:
        msg = "the answer of the dashboard's ENC is not one that an ENC gives"
        raise BackendRefused(msg) from exc


def _strings(values: Json) -> Mapping[str, str]:
    return {key: value for key, value in values.items() if isinstance(value, str)}
