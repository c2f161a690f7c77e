"""The helper ``espm_tools`` and its settings: root's on the host where the old programs are.

It alone runs them and touches their files, and it trusts the settings file beside it; so both, and
the directories above them, must be out of the reach of everybody but root.  Where we are not root,
or the host is another one, both are written beside the configuration, with the commands to install
them.
"""

from __future__ import annotations

import os
import shlex
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from espm_setup import files, old_puppet, ssh
from espm_setup.errors import InTheWay, NotPermitted, SetupError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from espm_setup.files import Owner
    from espm_setup.old_puppet import OldPuppet

NAME = "espm_tools"

_HEAD = """\
# The settings of espm_tools, written by espm_setup; etc/espm_tools.conf.example explains them.
"""


@dataclass(frozen=True, slots=True)
class Tools:
    """The helper of one espm.

    :ivar host: where it is, as the configuration says it: ``local`` or an ssh URL.
    :ivar program: its path there.
    :ivar beside: the directory of espm's configuration.
    :ivar dashboard: whether it is to run the dashboard's tasks, too.
    :ivar sudo: whether espm's user calls it by sudo.
    """

    host: str
    program: Path
    beside: Path
    puppet: OldPuppet
    dashboard: bool
    sudo: bool

    @property
    def is_local(self) -> bool:
        """Whether the helper is on this host."""
        return self.host == "local"

    @property
    def is_ours(self) -> bool:
        """Whether this run installs it, and nothing of it is left to do by hand."""
        return self.is_local and (os.geteuid() == 0 or not self.sudo)

    @property
    def written(self) -> tuple[Path, Path]:
        """The paths of helper and settings that this run writes."""
        program = self.program if self.is_ours else self.beside / NAME
        return program, program.with_name(f"{program.name}.conf")

    @property
    def settings(self) -> str:
        """The content of the settings file."""
        places = self.puppet.places
        keys = {
            "puppet": places.puppet,
            "confdir": places.confdir,
            "ssldir": self.puppet.ssldir,
            "after_revoke": places.after_revoke,
        }
        if self.dashboard:
            names = ("rake", "rakefile", "rake_user", "external_node")
            keys |= {name: getattr(places, name) for name in names}
        return _HEAD + "".join(f"{key} = {value}\n" for key, value in keys.items() if value)

    def section(self, certificates: Path) -> Mapping[str, object]:
        """Return the keys that the sections of all backends on this host share."""
        keys: dict[str, object] = {"host": self.host, "tools": self.program}
        keys["sudo"] = "yes" if self.sudo else "no"
        return keys if self.is_local else {**keys, **ssh.keys(certificates)}


def make(args: argparse.Namespace) -> Tools:
    """Return the helper that *args* ask for, its host looked at if it is this one.

    :raises espm_setup.errors.SetupError: something that it needs is not known.
    """
    host = urlsplit(args.tools_host or "").hostname or ""
    puppet = old_puppet.assumed(args, host) if host else old_puppet.find(args)
    dashboard = args.classifier == "dashboard"
    if dashboard:
        _complete(puppet)
    user = urlsplit(args.tools_host or "").username
    return Tools(
        host=args.tools_host or "local",
        program=args.tools,
        beside=args.directory,
        puppet=puppet,
        dashboard=dashboard,
        sudo=args.sudo and user != "root",
    )


def check(tools: Tools, certificates: Path) -> None:
    """Return when nothing is in the way of installing it.

    :raises espm_setup.errors.InTheWay: a file is.
    :raises espm_setup.errors.SetupError: others than root could exchange the helper.
    """
    paths = [*tools.written, *([] if tools.is_local else ssh.written(certificates))]
    if found := [path for path in paths if path.exists() or path.is_symlink()]:
        raise InTheWay(files.in_the_way(found))
    if tools.is_ours and tools.sudo:
        for place in tools.program.parents:
            _only_root_writes(place)


def place(tools: Tools, certificates: Path, owner: Owner, undo: Callable[..., None]) -> None:
    """Write helper and settings to where they are used, or beside the configuration."""
    program, settings = tools.written
    root = (0, 0) if os.geteuid() == 0 and tools.is_ours else owner.public[:2]
    files.make_with_parents(program.parent, (*root, 0o755), undo)
    for path, data, mode in (
        (program, source().read_bytes(), 0o755),
        (settings, tools.settings.encode(), 0o644),
    ):
        files.create(path, data, (*root, mode))
        undo(path.unlink)
    if not tools.is_local:
        ssh.place(certificates, tools.host, owner, undo)


def commands(tools: Tools) -> list[str]:
    """Return the commands by which root installs what was written beside the configuration."""
    if tools.is_ours:
        return []
    program, settings = tools.written if tools.is_local else map(Path, (NAME, f"{NAME}.conf"))
    target = shlex.quote(str(tools.program))
    install = "install -o root -g root -m"
    return [
        f"install -d -o root -g root -m 0755 {shlex.quote(str(tools.program.parent))}",
        f"{install} 0755 {shlex.quote(str(program))} {target}",
        f"{install} 0644 {shlex.quote(str(settings))} {target}.conf",
    ]


def source() -> Path:
    """Return the helper as this espm has it.

    :raises espm_setup.errors.SetupError: it was not installed.
    """
    known = (Path(sys.executable).parent / NAME, Path(__file__).parents[1] / "etc" / NAME)
    found = next((path for path in known if path.is_file()), None)
    if found is None:
        msg = f"{NAME} is not beside {sys.executable}; install espm anew"
        raise SetupError(msg)
    return found


def _complete(puppet: OldPuppet) -> None:
    wanted = ("rake", "rakefile")
    if missing := [name for name in wanted if not getattr(puppet.places, name)]:
        options = ", ".join(f"--{name}" for name in missing)
        msg = f"the dashboard was not found on this machine; name it with {options}"
        raise SetupError(msg)


def _only_root_writes(path: Path) -> None:
    if not path.exists():
        return
    status = path.stat()
    open_for_others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if status.st_uid != 0 or (open_for_others and not status.st_mode & stat.S_ISVTX):
        msg = (
            f"others than root may write {path}, so they could exchange what root is to run; "
            "choose another place with --tools"
        )
        raise NotPermitted(msg)
