"""What Puppet on this host has in its puppet.conf."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from espm import command
from espm.puppet_settings import assignments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Where Puppet's packages and Debian's have it; a user but root would get another one.
_CONFDIRS = (Path("/etc/puppetlabs/puppet"), Path("/etc/puppet"))
_PATH = "/opt/puppetlabs/bin:/usr/local/bin:/usr/bin:/bin"


def settings(names: Sequence[str], known: str = "", section: str = "server") -> Mapping[str, str]:
    """Return the settings of those *names*, two or more, by name; nothing without Puppet.

    :param known: the directory of puppet.conf; empty for where packages have it.
    :param section: of puppet.conf; up to Puppet 5, a server's is ``master``.
    """
    puppet, directory = shutil.which("puppet", path=_PATH), confdir(known)
    if puppet is None or directory is None:
        return {}
    arguments = ["--confdir", str(directory), "--section", section]
    output = command.run([puppet, "config", "print", *arguments, *names], timeout=60)
    return assignments(output.stdout)


def confdir(known: str = "") -> Path | None:
    """Return the directory of puppet.conf, *known* or where packages have it, if it is there."""
    places = (Path(known),) if known else _CONFDIRS
    return next((path for path in places if (path / "puppet.conf").is_file()), None)
