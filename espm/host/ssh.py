"""The helper on another host, by the OpenSSH client.

One connection is kept, and every command is a session on it: an old host takes a second for a new
one.  The connection is that of a master process, which is looked for before each call by its
socket, and started anew when it is gone::

    socket answers? --yes--> session on it
          | no
          v
    one thread starts the master, the others wait

A host whose key is not in the file is refused, no password is ever asked for, and nothing of the
user's own configuration of ssh is used.
"""

from __future__ import annotations

import shlex
import shutil
import socket
import tempfile
import threading
import time
import weakref
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from espm import command
from espm.errors import BackendError, BackendRefused, BackendSilent, BackendUnavailable
from espm.host.judging import MOST, fail, judged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from espm.model.output import Output

#: Sessions at the same time: sshd takes 10 on one connection (MaxSessions).
SESSIONS = 8

#: Seconds that the connection is kept when nobody needs it.
PERSIST = 600

_SETSID = shutil.which("setsid") or "/usr/bin/setsid"

_OPTIONS = {
    "BatchMode": "yes",
    "ClearAllForwardings": "yes",
    "ConnectTimeout": "10",
    "GlobalKnownHostsFile": "/dev/null",
    "IdentitiesOnly": "yes",
    "ServerAliveCountMax": "3",
    "ServerAliveInterval": "10",
    "StrictHostKeyChecking": "yes",
}

#: What ssh says when another try would end the same way.
_HOPELESS = (
    b"Host key verification failed",
    b"Permission denied",
    b"Load key",
    b"Bad configuration",
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect to, and with what.

    :ivar key: path of the private key; *known_hosts* that of the file with the host's key.
    :ivar config: path of a configuration of ssh; empty for none.
    """

    user: str
    host: str
    port: int
    key: str
    known_hosts: str
    config: str = ""


class SshHost:
    """Another host; see :class:`espm.ports.host.Host`.

    :param argv: the helper there, perhaps behind ``sudo -n``.
    """

    def __init__(self, argv: Sequence[str], target: Target) -> None:
        self._argv = list(argv)
        self._target = target
        self._sessions = threading.BoundedSemaphore(SESSIONS)
        self._starting = threading.Lock()
        # Only we may use the connection; and the path of a socket must be short.
        self._socket = Path(tempfile.mkdtemp(prefix="espm-ssh-"), "s")
        self._ssh = [shutil.which("ssh") or "/usr/bin/ssh", *_options(target, self._socket)]
        weakref.finalize(self, _end, [*self._ssh, "-O", "exit", target.host], self._socket)

    def call(
        self, verb: str, *arguments: str, stdin: bytes | None = None, timeout: float
    ) -> Output:
        """Run the helper to its end and return how it ended."""
        deadline = time.monotonic() + timeout
        remote = shlex.join([*self._argv, verb, *arguments])
        with self._session(deadline):
            self._connect(deadline)
            output = command.run(
                [*self._ssh, "-o", "ControlMaster=no", self._target.host, remote],
                timeout=max(1.0, deadline - time.monotonic()),
                stdin=stdin,
                most=MOST,
            )
        if output.status == 255:
            fail(
                BackendUnavailable,
                "the connection to the host of Puppet's tools broke",
                verb,
                output,
            )
        return judged(verb, output, sudo=self._argv[0] == "sudo")

    @contextmanager
    def _session(self, deadline: float) -> Iterator[None]:
        if not self._sessions.acquire(timeout=max(0.0, deadline - time.monotonic())):
            msg = "too many commands on the host of Puppet's tools"
            raise BackendUnavailable(msg)
        try:
            yield
        finally:
            self._sessions.release()

    def _connect(self, deadline: float) -> None:
        """Start the master, unless one answers."""
        if _answers(self._socket):
            return
        with self._starting:
            if _answers(self._socket):
                return
            self._socket.unlink(missing_ok=True)
            # What is left of a program's process group is killed when it ends, and the master is
            # what is left of this one: so it gets another group.
            argv = [_SETSID, "--wait", *self._ssh, "-M", "-f", "-N", self._target.host]
            output = command.run(argv, timeout=max(1.0, min(60.0, deadline - time.monotonic())))
        if output.status != 0:
            hopeless = any(words in output.stderr for words in _HOPELESS)
            kind: type[BackendError] = BackendRefused if hopeless else BackendSilent
            msg = "the host of Puppet's tools cannot be reached by ssh; espm's log says why"
            fail(kind, msg, "ssh", output)


def _options(target: Target, control: Path) -> list[str]:
    options = _OPTIONS | {
        "ControlPath": str(control),
        "ControlPersist": str(PERSIST),
        "UserKnownHostsFile": target.known_hosts,
    }
    argv = ["-F", target.config or "/dev/null", "-T", "-i", target.key]
    argv += ["-l", target.user, "-p", str(target.port)]
    return argv + [part for key, value in options.items() for part in ("-o", f"{key}={value}")]


def _answers(control: Path) -> bool:
    """Return whether a master listens at its socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(control))
        except OSError:
            return False
    return True


def _end(argv: list[str], control: Path) -> None:
    """End the master, if there is one, and remove its directory."""
    if control.exists():
        with suppress(BackendError):
            command.run(argv, timeout=10)
    shutil.rmtree(control.parent, ignore_errors=True)
