"""The tasks of the dashboard stand-in that an administrator uses for classes and groups."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.legacy.dashboard_tasks import Abort, Exit, Tasks

if TYPE_CHECKING:
    from tests.legacy.dashboard_store import Row

_CLASS = re.compile(r"[a-z0-9][-\w]*(?:::[a-z0-9][-\w]*)*")


def nodeclass_add(tasks: Tasks) -> None:
    """Add a class; one with an invalid name is not added, up to 1.2.22 without a word."""
    name = _name(tasks, "class")
    if tasks.store.find("classes", name):
        msg = "Class already exists!"
        raise Exit(msg)
    if _CLASS.fullmatch(name):
        tasks.store.add("classes", name)
        tasks.say("Class successfully created!")
    elif tasks.traits.polished:
        msg = (
            "Validation failed: Name must contain a valid Puppet class name, "
            "e.g. 'foo' or 'foo::bar'"
        )
        raise Abort(msg)


def nodeclass_del(tasks: Tasks) -> None:
    """Remove a class; from 1.2.23 on it says that a group was removed."""
    name = _name(tasks, "class")
    named = f"Node class {name} doesn't exist!"
    missing = named if tasks.traits.polished else "Class doesn't exist!"
    _remove(tasks, _found(tasks, "classes", name, missing))


def nodegroup_add(tasks: Tasks) -> None:
    """Add a group with the classes that exist."""
    name = _name(tasks, "group")
    if tasks.store.find("groups", name):
        msg = "Group already exists!"
        raise Exit(msg)
    classes = tasks.existing("classes", tasks.variables.get("classes", ""))
    tasks.store.replace_members(tasks.store.add("groups", name), "classes", classes)
    tasks.say("Group successfully created!")


def nodegroup_del(tasks: Tasks) -> None:
    """Remove a group."""
    _remove(tasks, _group(tasks, _name(tasks, "group")))


def nodegroup_edit(tasks: Tasks) -> None:
    """Replace the classes of a group."""
    group = _group(tasks, _name(tasks, "group"))
    classes = tasks.existing("classes", tasks.variables.get("classes", ""))
    tasks.store.replace_members(group, "classes", classes)
    tasks.say("Group successfully edited!")


def nodegroup_addclass(tasks: Tasks) -> None:
    """Add a class to a group."""
    group = _group(tasks, _name(tasks, "group"))
    name = tasks.variables.get("class", "")
    added = _found(tasks, "classes", name, "Class doesn't exist!")
    classes = tasks.store.members(group, "classes")
    if added in classes:
        tasks.say(f"Group '{group.name}' already includes class '{added.name}'")
        return
    tasks.store.replace_members(group, "classes", [*classes, added])
    tasks.say(f"Class '{added.name}' added to node group '{group.name}'")


def nodegroup_add_all_nodes(tasks: Tasks) -> None:
    """Add every node to a group, which is ``group=`` up to 1.2.22 whatever is documented."""
    variable = "name" if tasks.traits.polished else "group"
    if variable not in tasks.variables:
        msg = f"Must specify group name ({variable}=<groupname>)."
        raise Exit(msg)
    group = _group(tasks, tasks.variables[variable])
    for node in tasks.store.all("nodes", "id"):
        groups = tasks.store.members(node, "groups")
        tasks.store.replace_members(node, "groups", {*groups, group})


def nodegroup_parameters(tasks: Tasks) -> None:
    """Give parameters to a group."""
    group = _group(tasks, _name(tasks, "group"))
    tasks.give_parameters(group, "Node group", "node group")


def _name(tasks: Tasks, what: str) -> str:
    if "name" not in tasks.variables:
        # The words for a missing name are not in the reference.
        msg = f"Must specify {what} name (name=<{what}name>)."
        raise Exit(msg)
    return tasks.variables["name"]


def _group(tasks: Tasks, name: str) -> Row:
    return _found(tasks, "groups", name, "Group doesn't exist!")


def _found(tasks: Tasks, table: str, name: str, missing: str) -> Row:
    row = tasks.store.find(table, name)
    if row is None:
        raise Exit(missing)
    return row


def _remove(tasks: Tasks, row: Row) -> None:
    tasks.store.remove(row)
    if tasks.traits.polished:
        tasks.say("Group successfully deleted!")
