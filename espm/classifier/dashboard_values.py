"""What the dashboard's tasks can carry: a classification held against it, every fault named.

A task takes lists with commas in between, drops what it does not know, strips some blanks and
not others, and has strings only (reference facts on old Puppet, 3.1 to 3.3).  The programs are
of Ruby 1.8, to which a letter beyond ASCII is some octets.  Whatever would arrive as something
else than was said is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from espm.names import hints, shown
from espm.rake import folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from espm.model import Classification, Json

#: Characters of all groups, classes or parameters of a node: what a command line takes, also when
#: each of them is quoted for a shell.
LONGEST = 16_384


class Said(NamedTuple):
    """What the tasks are given for a node, in the dashboard's own spelling."""

    groups: tuple[str, ...]
    classes: tuple[str, ...]
    parameters: Mapping[str, str]


def named(names: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """Return each of *names* that the dashboard knows as it spells it, none of them twice."""
    spelt = {folded(name): name for name in known}
    found = (spelt.get(folded(name)) for name in names)
    return tuple(dict.fromkeys(name for name in found if name is not None))


def unknown(what: str, names: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    """Yield a fault for each of *names* that the dashboard does not know."""
    there = {folded(name) for name in known}
    missing = [name for name in names if folded(name) not in there]
    for name, guess in zip(missing, hints(missing, known), strict=True):
        yield f"{what} {shown(name)} does not exist in the dashboard{guess}"


def faults(said: Classification, environment: str) -> Iterator[str]:
    """Yield what no dashboard can carry, whatever groups and classes it knows.

    :param environment: the one that all its nodes are in.
    """
    if said.environment not in (None, environment):
        yield f"environment '{said.environment}': the dashboard's nodes are in '{environment}'"
    yield from _names("group", said.groups)
    yield from _names("class", said.classes)
    for name in filter(said.classes.get, said.classes):
        yield f"class '{name}': the dashboard's tasks cannot give parameters to a class"
    faulty = ((name, _value_fault(value)) for name, value in said.parameters.items())
    yield from (f"parameter '{name}': {why}" for name, why in faulty if why)
    yield from _too_long(said)


def _names(what: str, names: Iterable[str]) -> Iterator[str]:
    return (f"{what} {shown(name)}: {why}" for name in names if (why := _uncarried(name)))


def _too_long(said: Classification) -> Iterator[str]:
    parameters = [f"{name}={value}" for name, value in said.parameters.items()]
    parts = {"groups": said.groups, "classes": said.classes, "parameters": parameters}
    for what, texts in parts.items():
        if sum(len(text) + 1 for text in texts) > LONGEST:
            yield f"{what}: more than {LONGEST} characters in all"


def _value_fault(value: Json) -> str:
    if not isinstance(value, str):
        return "the dashboard has only strings; write it as a string"
    return _uncarried(value)


def _uncarried(text: str) -> str:
    """Return why *text* cannot be an item of a list; empty when it can."""
    if not text:
        return "the dashboard's tasks cannot carry an empty text"
    if "," in text:
        return "the dashboard's tasks cannot carry a comma"
    if text != text.strip(" "):
        return "the dashboard's tasks cannot carry blanks at the beginning or the end"
    if not (text.isascii() and text.isprintable()):
        return "the dashboard's tasks carry only printable characters of ASCII"
    return ""
