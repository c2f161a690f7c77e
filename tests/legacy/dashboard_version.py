"""How the versions of the dashboard differ (reference facts on old Puppet, 3.1 to 4)."""

from __future__ import annotations

from typing import NamedTuple

#: The versions that the stand-in knows.  PE 2.5 has about 1.2.6; of 3.0 only the stream of its
#: messages is made use of.
VERSIONS = ("1.2.6", "1.2.11", "1.2.23", "2.0", "3.0")

#: The descriptions, of which the reference has none, are ours.
_TASKS = {
    "node:add": ("1.2.0", "Add a node"),
    "node:addclass": ("1.2.23", "Add a class to a node"),
    "node:addgroup": ("1.2.23", "Add a group to a node"),
    "node:classes": ("1.2.0", "Replace the classes of a node"),
    "node:del": ("1.2.2", "Remove a node"),
    "node:groups": ("1.2.0", "Replace the groups of a node"),
    "node:list": ("1.2.0", "List nodes"),
    "node:listclasses": ("1.2.23", "List the classes of a node"),
    "node:listgroups": ("1.2.23", "List the groups of a node"),
    "node:parameters": ("1.2.7", "Give parameters to a node"),
    "node:variables": ("2.0", "Give variables to a node"),
    "nodeclass:add": ("1.2.0", "Add a class"),
    "nodeclass:del": ("1.2.0", "Remove a class"),
    "nodeclass:list": ("1.2.2", "List classes"),
    "nodegroup:add": ("1.2.0", "Add a group"),
    "nodegroup:add_all_nodes": ("1.2.3", "Add every node to a group"),
    "nodegroup:addclass": ("1.2.2", "Add a class to a group"),
    "nodegroup:del": ("1.2.0", "Remove a group"),
    "nodegroup:edit": ("1.2.0", "Replace the classes of a group"),
    "nodegroup:list": ("1.2.2", "List groups"),
    "nodegroup:parameters": ("1.2.7", "Give parameters to a group"),
}


class Traits(NamedTuple):
    """What a version does.

    :ivar banner: whether rake, 0.8.7 then, begins with the directory it is in.
    :ivar polished: whether it is 1.2.23 or later: no second row for a parameter that is set
        again, no debug print, items stripped, other messages.
    :ivar names_nodes: whether messages about missing nodes have their name.
    :ivar hashes: whether the ENC gives the classes as a hash.
    :ivar talks_on_stderr: whether messages go to stderr.
    :ivar tasks: the tasks that there are, with their descriptions.
    """

    banner: bool
    polished: bool
    names_nodes: bool
    hashes: bool
    talks_on_stderr: bool
    tasks: dict[str, str]


def traits(version: str) -> Traits:
    """Return what *version* does."""
    at = _numbers(version)
    return Traits(
        banner=at < (2,),
        polished=at >= (1, 2, 23),
        names_nodes=at >= (1, 2, 7),
        hashes=at >= (2,),
        talks_on_stderr=at >= (3,),
        tasks={name: text for name, (since, text) in _TASKS.items() if _numbers(since) <= at},
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
