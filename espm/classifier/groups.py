"""The administrator's groups file, checked whole.

::

    groups:
      - name: base
        environment: production
        classes: [ntp]
      - name: web
        parent: base
        classes:
          apache: {default_vhost: false}
        parameters: {role: web}

The file belongs to the administrator, so that mistakes in it are told all at once, each with its
line and group, and a file with any mistake is not used at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from espm.classifier import render
from espm.classifier.strict_yaml import SIZE, Lined, load
from espm.errors import ConfigError, GroupsError, InvalidClassification
from espm.model import Group
from espm.names import (
    HINTS,
    class_fault,
    class_parameter_fault,
    did_you_mean,
    environment_fault,
    parameter_fault,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from espm.model import Json

_KEYS = ("name", "parent", "environment", "classes", "parameters")


def read(path: Path) -> Mapping[str, Group]:
    """Return the groups of a file by name; an empty file has none.

    :raises espm.errors.GroupsError: the file is wrong; all faults, each with its line.
    :raises espm.errors.ConfigError: there is no such file, or it can't be read.
    """
    try:
        with path.open("rb") as file:
            text = file.read(SIZE + 1)
    except OSError as exc:
        raise ConfigError([f"groups file {path}: {exc.strerror}"]) from exc
    try:
        return parse(text)
    except GroupsError as exc:
        raise GroupsError([f"{path}: {fault}" for fault in exc.faults]) from exc


def parse(text: bytes) -> Mapping[str, Group]:
    """Return the groups in the text of a groups file by name.

    :raises espm.errors.GroupsError: the text is wrong; all faults, each with its line.
    """
    content, faults = load(text)
    parser = _Parser(faults)
    parser.top(content)
    parser.parents()
    if faults:
        raise GroupsError(faults)
    return parser.groups


class _Parser:
    """Collects groups and faults; a group at fault is kept, for others may refer to it."""

    def __init__(self, faults: list[str]) -> None:
        self.groups: dict[str, Group] = {}
        self._faults = faults
        self._lines: dict[str, int] = {}

    def top(self, content: Json) -> None:
        """Take the whole file."""
        if content is None:
            return
        if not isinstance(content, Lined):
            self._faults.append("line 1: not a mapping with the key 'groups'")
            return
        self._unknown_keys(content, ("groups",), "")
        groups = content.get("groups")
        if not isinstance(groups, list | None):
            self._faults.append(f"line {content.line}: 'groups' is not a list")
            return
        for number, entry in enumerate(groups or [], 1):
            self._entry(entry, number)

    def parents(self) -> None:
        """Check that every parent exists and that none is its own ancestor."""
        guesses = HINTS
        for name, group in self.groups.items():
            if group.parent is not None and group.parent not in self.groups:
                # To compare names takes long, and nobody is helped by many guesses.
                hint = did_you_mean(group.parent, self.groups.keys() - {name}) if guesses else ""
                guesses -= bool(guesses)
                self._fault(name, f"its parent '{group.parent}' does not exist{hint}")
            elif self._loops(name):
                self._fault(name, "it is its own ancestor")

    def _loops(self, name: str) -> bool:
        seen: set[str] = set()
        at = self.groups[name].parent
        while at in self.groups and at not in seen:
            seen.add(at)
            at = self.groups[at].parent
        return name in seen

    def _entry(self, entry: Json, number: int) -> None:
        if not isinstance(entry, Lined):
            self._faults.append(f"group number {number}: not a mapping with a name")
            return
        name = entry.get("name")
        if not isinstance(name, str) or not _is_name(name):
            self._faults.append(
                f"line {entry.line}: group number {number} has no usable name (1 to 255 "
                "printable characters)"
            )
        elif name in self.groups:
            first = self._lines[name]
            self._faults.append(
                f"line {entry.line}: group '{name}' is there twice (first in line {first})"
            )
        else:
            self._lines[name] = entry.line
            self._unknown_keys(entry, _KEYS, f"group '{name}': ")
            self.groups[name] = self._group(name, entry)

    def _group(self, name: str, entry: Lined) -> Group:
        environment = self._optional(name, entry, "environment")
        if environment is not None:
            self._note(name, environment_fault(environment))
        return Group(
            name,
            self._optional(name, entry, "parent"),
            environment,
            self._classes(name, entry.get("classes")),
            self._parameters(name, entry.get("parameters"), "parameters", parameter_fault),
        )

    def _optional(self, name: str, entry: Lined, key: str) -> str | None:
        text = entry.get(key)
        if isinstance(text, str | None):
            return text
        self._fault(name, f"'{key}' is not a string")
        return None

    def _classes(self, name: str, content: Json) -> Mapping[str, Mapping[str, Json]]:
        """Take a mapping of classes to parameters, or a list of classes without any."""
        if isinstance(content, list):
            content = self._from_list(name, content)
        if not isinstance(content, dict | None):
            self._fault(name, "'classes' is neither a mapping nor a list of names")
            return {}
        classes = {}
        for class_name, parameters in (content or {}).items():
            self._note(name, class_fault(class_name))
            what = f"class '{class_name}'"
            classes[class_name] = self._parameters(name, parameters, what, class_parameter_fault)
        return classes

    def _from_list(self, name: str, content: list[Json]) -> dict[str, Json]:
        classes: dict[str, Json] = {}
        for class_name in content:
            if not isinstance(class_name, str):
                self._fault(name, "'classes' has an entry that is not a name")
            elif class_name in classes:
                self._fault(name, f"class '{class_name}' is there twice")
            else:
                classes[class_name] = {}
        return classes

    def _parameters(
        self, name: str, content: Json, what: str, fault: Callable[[object], str | None]
    ) -> Mapping[str, Json]:
        if not isinstance(content, dict | None):
            self._fault(name, f"{what}: not a mapping of parameters to values")
            return {}
        for parameter, value in (content or {}).items():
            self._note(name, fault(parameter))
            try:
                render.value(value, f"{what}: parameter '{parameter}'")
            except InvalidClassification as exc:
                self._fault(name, str(exc))
        return dict(content or {})

    def _unknown_keys(self, mapping: Lined, known: tuple[str, ...], where: str) -> None:
        for key in mapping:
            if key not in known:
                hint = did_you_mean(key, known)
                self._faults.append(f"line {mapping.lines[key]}: {where}unknown key '{key}'{hint}")

    def _note(self, name: str, fault: str | None) -> None:
        if fault:
            self._fault(name, fault)

    def _fault(self, name: str, fault: str) -> None:
        self._faults.append(f"line {self._lines[name]}: group '{name}': {fault}")


def _is_name(name: str) -> bool:
    return 0 < len(name) <= 255 and name.isprintable() and name == name.strip()
