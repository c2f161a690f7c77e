"""A dashboard of Puppet Enterprise 2.x and 3.x in a directory, as far as espm meets it.

``rake`` and ``external_node`` are programs, the database is SQLite; each command is logged with
the times at which it began and ended.  Rails, which takes seconds to start, is a delay.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.legacy.dashboard_store import Row, Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ROOT = Path(__file__).parents[2]

_PROGRAM = """\
#!{python} -IS
import fcntl, json, pathlib, sys, time
sys.path.insert(0, {root!r})
from tests.legacy.{module} import main
directory = pathlib.Path({directory!r})
began = time.time()
time.sleep(float((directory / "delay").read_text()) if {delayed} else 0)
try:
    status = main(directory, {version!r}, sys.argv[1:])
finally:
    with (directory / "commands.jsonl").open("a") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        entry = dict(argv=[{name!r}, *sys.argv[1:]], start=began, end=time.time())
        log.write(json.dumps(entry) + "\\n")
sys.exit(status)
"""


def legacy_dashboard(directory: Path, version: str, *, delay: float = 0.0) -> Dashboard:
    """Make a dashboard without any node, group or class.

    :param version: one of :data:`tests.legacy.dashboard_version.VERSIONS`.
    :param delay: seconds that each run of rake takes longer.
    """
    made = Dashboard(directory, version)
    made.store.create()
    made.set_delay(delay)
    made.set_mode("up")
    made.rakefile.write_text("# The tasks are in the program.\n")
    (directory / "commands.jsonl").touch()
    for program, module in ((made.rake, "dashboard_rake"), (made.external_node, "dashboard_enc")):
        text = _PROGRAM.format(
            python=sys.executable,
            root=str(_ROOT),
            module=module,
            directory=str(directory),
            delayed=program == made.rake,
            version=version,
            name=program.name,
        )
        program.write_text(text)
        program.chmod(0o755)
    return made


@dataclass(frozen=True)
class Dashboard:
    """A dashboard in *directory*, as its administrator sees it."""

    directory: Path
    version: str

    @property
    def rake(self) -> Path:
        """The program."""
        return self.directory / "rake"

    @property
    def rakefile(self) -> Path:
        """What rake is told by ``-f``."""
        return self.directory / "Rakefile"

    @property
    def external_node(self) -> Path:
        """The ENC's program."""
        return self.directory / "external_node"

    @property
    def store(self) -> Store:
        """The database."""
        return Store(self.directory / "dashboard.db")

    def set_delay(self, seconds: float) -> None:
        """Have each run of rake take longer from now on."""
        (self.directory / "delay").write_text(str(seconds))

    def set_mode(self, mode: str) -> None:
        """Have the web application ``up`` or ``down``, or its classification ``disabled``."""
        (self.directory / "mode").write_text(mode)

    def add_class(self, *names: str) -> None:
        """Add classes."""
        for name in names:
            self.store.add("classes", name)

    def add_group(
        self, name: str, classes: Iterable[str] = (), parameters: Mapping[str, str] | None = None
    ) -> None:
        """Add a group with classes that exist, and parameters."""
        group = self.store.add("groups", name)
        self.store.replace_members(group, "classes", self._rows("classes", classes))
        self.store.set_parameters(group, parameters or {}, replace=True)

    def add_node(self, name: str, groups: Iterable[str] = (), classes: Iterable[str] = ()) -> None:
        """Add a node by hand, as somebody else would."""
        node = self.store.add("nodes", name)
        self.store.replace_members(node, "groups", self._rows("groups", groups))
        self.store.replace_members(node, "classes", self._rows("classes", classes))

    def remove_node(self, name: str) -> None:
        """Remove a node by hand."""
        if row := self.store.find("nodes", name):
            self.store.remove(row)

    def node(self, name: str) -> dict[str, Any] | None:
        """Return a node's groups, classes and parameter rows; None when there is none."""
        row = self.store.find("nodes", name)
        if row is None:
            return None
        return {
            "groups": [each.name for each in self.store.members(row, "groups")],
            "classes": [each.name for each in self.store.members(row, "classes")],
            "parameters": self.store.parameters(row),
        }

    def commands(self) -> list[dict[str, Any]]:
        """Return ``argv``, ``start`` and ``end`` of each command so far."""
        lines = (self.directory / "commands.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def _rows(self, table: str, names: Iterable[str]) -> list[Row]:
        return [row for name in names if (row := self.store.find(table, name))]
