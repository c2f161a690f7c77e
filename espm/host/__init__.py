"""Ways to the host that the tools of an old Puppet are on, behind :class:`espm.ports.host.Host`.

Both run the same helper, ``espm_tools``, which is all that needs root there.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from espm.errors import ConfigError
from espm.host.local import LocalHost
from espm.host.ssh import SshHost, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from espm.ports.host import Host

__all__ = ["HOST_SPEC", "RELEASE", "connect"]

#: Which ``espm_tools`` this espm works with; the helper's own verb ``version`` says which it is.
RELEASE = 1

#: The keys that every backend has in its section which works by the helper.
HOST_SPEC = """
# Host that Puppet's tools are on: local for this one, or ssh://user@host or ssh://user@host:port.
host = host(default="local")
# Absolute path of the helper espm_tools on that host; its settings are in the file beside it.
tools = path(default="/opt/espm/libexec/espm_tools")
# Whether the helper is started by sudo: yes or no.
sudo = boolean(default=yes)
# Absolute path of the private key for ssh, unreadable for others; needed with ssh://.
ssh_key = optional_path(default="")
# Absolute path of a known_hosts file with that host's key; needed with ssh://.
ssh_known_hosts = optional_path(default="")
# Absolute path of a configuration of ssh, for the algorithms of an old host; empty for none.
ssh_config = optional_path(default="")
# Seconds that one command on that host may take, with the wait for its turn.
command_timeout = seconds(60, 3600, default=300)
"""

#: The hosts in use, so that all who name the same one share it: a connection, what it has told.
_hosts: WeakValueDictionary[tuple[object, ...], Host] = WeakValueDictionary()
_finding = threading.Lock()

_SSH = re.compile(r"ssh://([^@:/]+)@([^@:/]+)(?::(\d+))?")


def connect(options: Mapping[str, Any]) -> Host:
    """Return the host that *options* name, the same one for the same options.

    Nothing is connected to yet.

    :param options: the keys of :data:`HOST_SPEC`.
    :raises espm.errors.ConfigError: what ssh needs is not there.
    """
    argv = [options["tools"]]
    if options["sudo"]:
        argv = ["sudo", "-n", *argv]
    found = _SSH.fullmatch(options["host"])
    if found is None:
        return _shared((*argv,), lambda: LocalHost(argv))
    if missing := [key for key in ("ssh_key", "ssh_known_hosts") if not options[key]]:
        raise ConfigError([f"{key}: missing; a host behind ssh:// needs it" for key in missing])
    user, host, port = found.groups()
    files = (options["ssh_key"], options["ssh_known_hosts"], options["ssh_config"])
    target = Target(user, host, int(port or 22), *files)
    return _shared((*argv, target), lambda: SshHost(argv, target))


def _shared(key: tuple[object, ...], make: Callable[[], Host]) -> Host:
    with _finding:
        found = _hosts.get(key)
        if found is None:
            found = _hosts[key] = make()
    return found
