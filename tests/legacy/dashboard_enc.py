"""The program ``external_node`` of the dashboard stand-in, and the answers behind it.

The real script asks the dashboard over HTTP; this one asks the database itself and prints what
that one prints (reference facts on old Puppet, 4).
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, NamedTuple, TextIO

from tests.legacy.dashboard_store import Row, Store
from tests.legacy.dashboard_version import traits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_PLAIN = re.compile(r"[A-Za-z_][\w./-]*(?:::\w+)*", re.ASCII)
_OTHERWISE = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}

_BACKTRACE = """\
/usr/lib/ruby/1.8/net/http.rb:560:in `initialize': Connection refused - connect(2) (Errno::ECONNREFUSED)
\tfrom /usr/lib/ruby/1.8/net/http.rb:560:in `open'
"""  # noqa: E501 - Ruby's line


class Answer(NamedTuple):
    """An HTTP answer of the dashboard."""

    status: str
    body: str


def answer(store: Store, version: str, name: str) -> Answer:
    """Return what the dashboard says of *name*; it knows everybody."""
    node = store.find("nodes", name)
    if node is None:
        return Answer("200 OK", "---\nclasses: []\n")
    groups = store.members(node, "groups")
    own = dict(store.parameters(node))
    if clash := _clash(store, groups, own):
        text = f'Node "{node.name}" has conflicting parameter(s): {", ".join(clash)}'
        return Answer("500 Internal Server Error", text)
    of_groups = [each for group in groups for each in store.members(group, "classes")]
    classes = dict.fromkeys(each.name for each in (*of_groups, *store.members(node, "classes")))
    parameters: dict[str, str] = {}
    for group in groups:
        parameters |= dict(store.parameters(group))
    body = f"---\nname: {_scalar(node.name)}\n"
    body += _hash_of(classes) if traits(version).hashes else _list_of(classes)
    return Answer("200 OK", body + _mapping("parameters", parameters | own))


def run(directory: Path, version: str, name: str, stdout: TextIO, stderr: TextIO) -> int:
    """Ask for *name* as the script does and return its exit code."""
    mode = (directory / "mode").read_text()
    if mode == "down":
        stderr.write(_BACKTRACE)
        return 1
    if mode == "disabled":
        found = Answer("403 Forbidden", "Node classification has been disabled")
    else:
        found = answer(Store(directory / "dashboard.db"), version, name)
    if found.status.startswith("2"):
        stdout.write(found.body)
        return 0
    stderr.write(f"Error: {found.status}\n{found.body}\n")
    return 1


def main(directory: Path, version: str, arguments: Sequence[str]) -> int:
    """Run the script as a program."""
    return run(directory, version, arguments[0], sys.stdout, sys.stderr)


def _clash(store: Store, groups: Iterable[Row], own: dict[str, str]) -> list[str]:
    """Return the parameters on which groups disagree and of which the node says nothing."""
    said: dict[str, set[str]] = {}
    for group in groups:
        for key, value in dict(store.parameters(group)).items():
            said.setdefault(key, set()).add(value)
    return [key for key, values in said.items() if len(values) > 1 and key not in own]


def _list_of(names: Iterable[str]) -> str:
    items = [f"- {_scalar(name)}\n" for name in names]
    return "classes:\n" + "".join(items) if items else "classes: []\n"


def _hash_of(names: Iterable[str]) -> str:
    items = [f"  {_scalar(name)}: {{}}\n" for name in names]
    return "classes:\n" + "".join(items) if items else "classes: {}\n"


def _mapping(key: str, values: dict[str, str]) -> str:
    items = [f"  {_scalar(name)}: {_scalar(value)}\n" for name, value in values.items()]
    return f"{key}:\n" + "".join(items) if items else f"{key}: {{}}\n"


def _scalar(text: str) -> str:
    """Return a string as YAML: all values are strings, and stay so."""
    if _PLAIN.fullmatch(text) and text.lower() not in _OTHERWISE:
        return text
    return "'" + text.replace("'", "''") + "'"
