"""A real sshd of OpenSSH for one test run: a port of its own, keys of its own, this very user.

It needs no root.  Started by root it wants /run/sshd, where it locks its unprivileged half in; the
directory is made if it is missing.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import absent
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {root}/host_key
PidFile none
AuthorizedKeysFile {root}/user_key.pub
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
LogLevel VERBOSE
"""


def missing() -> str:
    """Return why there can be no sshd here; empty if there can."""
    names = ("ssh", "ssh-keygen")
    if not Path("/usr/sbin/sshd").exists() or not all(map(shutil.which, names)):
        return "there is no sshd here; tests/prerequisites.sh installs it"
    return ""


@dataclass
class Sshd:
    """A running sshd.

    :ivar root: the directory with its keys and its log.
    """

    root: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        """What it has logged."""
        return self.root.joinpath("log").read_text()

    @property
    def connections(self) -> int:
        """How many connections have authenticated."""
        return self.log.count("Accepted publickey")

    def options(self) -> dict[str, str]:
        """Return the keys of a backend's section that lead to it."""
        return {
            "host": f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}",
            "ssh_key": str(self.root / "user_key"),
            "ssh_known_hosts": str(self.root / "known_hosts"),
        }

    def sever(self) -> None:
        """End every connection, as a network does."""
        for pid in _children(self.process.pid):
            for child in (*_children(pid), pid):
                os.kill(child, signal.SIGKILL)

    def stop(self) -> None:
        """End it and its connections."""
        self.sever()
        self.process.terminate()
        self.process.wait(timeout=10)


def start(root: Path) -> Sshd:
    """Start an sshd whose files are in the directory *root*."""
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host_key", "user_key"):
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(root / name)]
        subprocess.run(argv, check=True)
    port = free_port()
    root.joinpath("sshd_config").write_text(_CONFIG.format(root=root, port=port))
    host_key = root.joinpath("host_key.pub").read_text()
    root.joinpath("known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    return _started(root, port)


@contextmanager
def running(root: Path) -> Iterator[Sshd]:
    """Run one in the empty directory *root*; a skip, with the reason, where there is none."""
    if why := missing():
        absent(why)
    started = start(root)
    try:
        yield started
    finally:
        started.stop()


def restart(sshd: Sshd) -> None:
    """Start it again where it was."""
    sshd.process = _started(sshd.root, sshd.port).process


def _started(root: Path, port: int) -> Sshd:
    argv = ["/usr/sbin/sshd", "-D", "-f", str(root / "sshd_config"), "-E", str(root / "log")]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return Sshd(root, port, process)
        time.sleep(0.05)
    process.kill()
    msg = f"sshd does not answer: {root.joinpath('log').read_text()}"
    raise RuntimeError(msg)


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(child) for child in text.split()]
