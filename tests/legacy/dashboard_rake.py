"""The program ``rake`` of the dashboard stand-in: its command line, its banner, its errors.

Reference facts on old Puppet, 3.1.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tests.legacy import dashboard_more_tasks as more
from tests.legacy.dashboard_store import Store
from tests.legacy.dashboard_tasks import Abort, Exit, Tasks
from tests.legacy.dashboard_version import Traits, traits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_RUN: dict[str, Callable[[Tasks], None]] = {
    "node:add": Tasks.node_add,
    "node:del": Tasks.node_del,
    "node:classes": Tasks.node_classes,
    "node:groups": Tasks.node_groups,
    "node:parameters": Tasks.node_parameters,
    "node:variables": Tasks.node_parameters,
    "node:list": lambda tasks: tasks.names("nodes", "id"),
    "nodeclass:list": lambda tasks: tasks.names("classes", "name"),
    "nodegroup:list": lambda tasks: tasks.names("groups", "name"),
    "nodeclass:add": more.nodeclass_add,
    "nodeclass:del": more.nodeclass_del,
    "nodegroup:add": more.nodegroup_add,
    "nodegroup:add_all_nodes": more.nodegroup_add_all_nodes,
    "nodegroup:addclass": more.nodegroup_addclass,
    "nodegroup:del": more.nodegroup_del,
    "nodegroup:edit": more.nodegroup_edit,
    "nodegroup:parameters": more.nodegroup_parameters,
}


class Rake:
    """One run of rake.

    :param directory: that of the stand-in, with its database.
    :param environment: the caller's, from which the tasks take what the command line has not.
    """

    def __init__(
        self,
        directory: Path,
        version: str,
        environment: Mapping[str, str],
        stdout: TextIO,
        stderr: TextIO,
    ) -> None:
        self._store = Store(directory / "dashboard.db")
        self._traits: Traits = traits(version)
        self._variables = dict(environment)
        self._stdout, self._stderr = stdout, stderr

    def main(self, arguments: Sequence[str]) -> int:
        """Do what the command line says and return the exit code."""
        words = list(arguments)
        rakefile, listed = _option(words, "-f"), _option(words, "-T")
        if self._traits.banner and "-s" not in words:
            print(f"(in {Path.cwd()})", file=self._stdout)
        if not Path(rakefile).exists():
            return self._abort(f"No Rakefile found (looking for: {rakefile})")
        if listed:
            return self._list(listed)
        words = [word for word in words if not word.startswith("-")]
        return self._run([word for word in words if not self._is_variable(word)])

    def _is_variable(self, word: str) -> bool:
        """Take VAR=VALUE; Ruby's anchors are those of a line, so a newline cuts the value."""
        found = re.search(r"^(\w+)=(.*)$", word, re.MULTILINE)
        if found:
            self._variables[found[1]] = found[2]
        return bool(found)

    def _list(self, pattern: str) -> int:
        found = {name: text for name, text in self._traits.tasks.items() if pattern in name}
        width = max(map(len, found), default=0)
        for name, text in found.items():
            print(f"rake {name:<{width}}  # {text}", file=self._stdout)
        return 0

    def _run(self, names: Sequence[str]) -> int:
        """Run each task once; arguments in brackets are nobody's."""
        stream = self._stderr if self._traits.talks_on_stderr else self._stdout

        def say(line: str) -> None:
            print(line, file=stream)

        tasks = Tasks(self._store, self._traits, self._variables, say)
        listing = Tasks(self._store, self._traits, self._variables, self._print)
        try:
            for name in dict.fromkeys(re.sub(r"\[.*\]$", "", name) for name in names):
                if name not in self._traits.tasks or name not in _RUN:
                    return self._abort(f"Don't know how to build task '{name}'")
                self._deprecate(name)
                _RUN[name](listing if name.endswith(":list") else tasks)
        except Exit as exc:
            say(str(exc))
            return 1
        except Abort as exc:
            return self._abort(str(exc))
        return 0

    def _print(self, line: str) -> None:
        print(line, file=self._stdout)

    def _deprecate(self, name: str) -> None:
        if name == "node:parameters" and "node:variables" in self._traits.tasks:
            text = "node:parameters is deprecated, use node:variables instead"
            print(text, file=self._stderr)

    def _abort(self, message: str) -> int:
        text = f"rake aborted!\n{message}\n\n(See full trace by running task with --trace)"
        print(text, file=self._stderr)
        return 1


def _option(words: list[str], option: str) -> str:
    """Take an option with its value out of *words*."""
    if option not in words:
        return ""
    at = words.index(option)
    value = words[at + 1]
    del words[at : at + 2]
    return value


def main(directory: Path, version: str, arguments: Sequence[str]) -> int:
    """Run rake as a program."""
    return Rake(directory, version, os.environ, sys.stdout, sys.stderr).main(arguments)
