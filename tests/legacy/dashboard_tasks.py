"""The tasks of the dashboard stand-in that are about nodes, lies included.

Each prints what the real one prints and ends as it ends (reference facts on old Puppet, 3.3).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.legacy.dashboard_store import Row, Store
    from tests.legacy.dashboard_version import Traits


class Abort(Exception):
    """Rake aborts and says why."""


class Exit(Exception):
    """A task ends rake with a message and exit code 1."""


class Tasks:
    """The tasks of one version on one database.

    :param variables: what came as VAR=VALUE, over the environment of the caller.
    :param say: prints a line of a task.
    """

    def __init__(
        self,
        store: Store,
        traits: Traits,
        variables: Mapping[str, str],
        say: Callable[[str], None],
    ) -> None:
        self.store = store
        self.traits = traits
        self.variables = variables
        self.say = say

    def node_add(self) -> None:
        """Add a node; groups and classes that do not exist are left out without a word."""
        name = self._required("name", "Must specify node name (name=<hostname>).")
        if self.store.find("nodes", name):
            self._exit("Node already exists!")
        if not name:
            self._exit(
                "There was a problem saving the node: Validation failed: Name can't be blank"
            )
        groups = self.existing("groups", self.variables.get("groups", ""))
        classes = self.existing("classes", self.variables.get("classes", ""))
        node = self.store.add("nodes", name)
        self.store.replace_members(node, "groups", groups)
        self.store.replace_members(node, "classes", classes)
        self.say("Node successfully created!")

    def node_del(self) -> None:
        """Remove a node, silently."""
        name = self._required("name", "Must specify node name (name=<hostname>).")
        node = self.store.find("nodes", name)
        if node is None:
            polished = f"Node {name} doesn't exist!"
            self._exit(polished if self.traits.polished else "Node does not exist!")
        self.store.remove(node)

    def node_classes(self) -> None:
        """Replace the classes of a node, with a debug print up to 1.2.22."""
        node = self._node()
        given = self._required("classes", "Must specify class(es) to set on node.")
        classes = self.existing("classes", given)
        if not self.traits.polished:
            self.say(f"[{', '.join(map(_inspected, classes))}]")
        self.store.replace_members(node, "classes", classes)
        self.say(f"Node classes successfully edited for {node.name}!")

    def node_groups(self) -> None:
        """Replace the groups of a node."""
        node = self._node()
        given = self._required("groups", "Must specify group(s) to set on node")
        self.store.replace_members(node, "groups", self.existing("groups", given))
        self.say(f"Node groups successfully edited for {node.name}!")

    def node_parameters(self) -> None:
        """Give parameters to a node; up to 1.2.22 a second row for a key that is set again."""
        node = self._node()
        self.give_parameters(node, "Node", "node")

    def names(self, table: str, order: str) -> None:
        """Print names, those that match a regular expression if there is one."""
        match = self.variables.get("match")
        for row in self.store.all(table, order):
            if match is None or _ruby_search(match, row.name):
                self.say(row.name)

    def give_parameters(self, owner: Row, title: str, word: str) -> None:
        """Give parameters to a node or a group."""
        text = self.variables.get("parameters")
        if text is None and self.traits.polished:
            for key, value in self.store.parameters(owner):
                self.say(f"{key}={value}")
            return
        if text is None:
            self._exit(f"Must specify {word} parameters (parameters=param1=val1,param2=val2)")
        given = dict(map(_parameter, self.items(text)))
        self.store.set_parameters(owner, given, replace=self.traits.polished)
        self.say(f"{title} parameters successfully edited for {owner.name}!")

    def existing(self, table: str, text: str) -> list[Row]:
        """Return the rows that a list names, without those that do not exist."""
        return list(filter(None, (self.store.find(table, item) for item in self.items(text))))

    def items(self, text: str) -> Iterable[str]:
        """Return the items of a list; empty ones at its end are lost, as Ruby's split does."""
        found = re.split(r",\s*", text.rstrip(","))
        return [item.strip() for item in found] if self.traits.polished else found

    def _node(self) -> Row:
        name = self.variables.get("name", "")
        node = self.store.find("nodes", name)
        if node is None:
            named = f"Node {name} doesn't exist!"
            self._exit(named if self.traits.names_nodes else "Node doesn't exist!")
        return node

    def _required(self, variable: str, message: str) -> str:
        if variable not in self.variables:
            self._exit(message)
        return self.variables[variable]

    def _exit(self, message: str) -> NoReturn:
        raise Exit(message)


def _parameter(item: str) -> tuple[str, str]:
    key, mark, value = item.partition("=")
    if not mark:
        msg = f"Could not parse parameter {key} given. Perhaps you're missing a '='"
        raise Abort(msg)
    if not key:
        msg = (
            "Could not parse parameters. Please check your format. "
            "Perhaps you need to name a parameter before a '='"
        )
        raise Abort(msg)
    if not value:
        msg = f"Could not parse parameters {key}. Please check your format"
        raise Abort(msg)
    return key.strip(), value


def _inspected(row: Row) -> str:
    """Return a class as Ruby prints it; the times are made up."""
    when = '"2012-02-22 10:00:00"'
    return (
        f'#<NodeClass id: {row.ident}, name: "{row.name}", created_at: {when}, updated_at: {when}>'
    )


def _ruby_search(pattern: str, text: str) -> bool:
    """Search as Ruby does: ``^`` and ``$`` are at every line."""
    try:
        return re.search(pattern, text, re.MULTILINE) is not None
    except re.error as exc:
        # Ruby's message for the one case that was recorded; others differ.
        msg = f"premature end of char-class: /{pattern}/"
        raise Abort(msg) from exc
