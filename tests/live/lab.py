"""A private Puppet Server for tests and the demonstration: real, fast, and gone afterwards.

Everything lives in one scratch directory, on a free port of 127.0.0.1; neither /etc/puppet nor port
8140 is touched. The administrator's certificate (pp_cli_auth) lets tests act beside espm.

    with Lab(Path("scratch")) as lab:
        lab.cli("ca", "list", "--all")

By hand: `python -m tests.live.lab DIRECTORY` runs one until it is interrupted; its lab.json tells
where everything is, and `ESPM_LAB=DIRECTORY` makes the live tests use it instead of their own.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from tests.live import lab_files
from tests.live.lab_admin import Administrator, LabFailed
from tests.ports import free_port

JAR = "/usr/share/puppetserver/puppetserver.jar"
NEEDED = (JAR, "/usr/bin/java", "/usr/bin/puppetserver", "/usr/bin/puppet")

# The first compiler and the serial collector: a server that lives for minutes on few cores.
JVM = ("-Xms512m", "-Xmx900m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


def missing() -> str:
    """Return why no private Puppet Server can run here, or nothing if one can."""
    absent = [name for name in NEEDED if not Path(name).exists()]
    return f"no {', '.join(absent)}: run tests/prerequisites.sh" if absent else ""


class Lab(Administrator):
    """A private Puppet Server: `with` starts and stops it; a second start finds the same CA."""

    def __init__(
        self,
        root: Path,
        *,
        port: int = 0,
        start_timeout: float = 240,
        jvm: tuple[str, ...] = JVM,
    ) -> None:
        """Prepare a server in `root`, made if need be.

        :param port: 0 for a free one.
        :param start_timeout: seconds after which a start counts as failed.
        :param jvm: options of the Java VM.
        """
        root = root.absolute()
        super().__init__(root, port or _port_of(root) or free_port())
        self.pid = 0
        self._java: subprocess.Popen[bytes] | None = None
        self._timeout = start_timeout
        self._jvm = jvm

    @classmethod
    def attach(cls, root: Path) -> Self:
        """Return a lab that somebody else runs in `root`; stop() leaves it alone."""
        lab = cls(root)
        lab.pid = json.loads(lab.json_file.read_text())["pid"]
        return lab

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- its life -------------------------------------------------------------------------------

    def configure(self) -> None:
        """Write the configuration and make the CA, unless that has been done in this directory."""
        if self.cadir.exists():
            return
        lab_files.write_all(self.root, self.port)
        self.cli("ca", "setup")
        self.cli("ca", "generate", "--ca-client", "--certname", self.admin_certname)
        # The native command keeps public files to its group; our readers may be others.
        self.certdir.chmod(0o755)
        self.ca_file.chmod(0o644)

    def start(self) -> None:
        """Start, and return when Puppet Server serves.

        :raises LabFailed: when it ends or is not ready in time; nothing is left running then.
        """
        self.configure()
        try:
            self._spawn()
            self._wait_until_running()
            self.json_file.write_text(json.dumps(self.as_dict() | {"pid": self.pid}, indent=2))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server that this object started, and every process of its; idempotent."""
        if self._java is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.resume()
            self._java.terminate()
            self._java.wait(timeout=20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._java.pid, signal.SIGKILL)
        self._java.wait()
        self._java, self.pid = None, 0

    def reload(self) -> None:
        """Make Puppet Server read its configuration again; return when it serves again."""
        self._restarts.write_text("0")
        os.kill(self.pid, signal.SIGHUP)
        self._wait_until_running()

    def changed(self) -> None:
        """Make Puppet Server, if it runs, read its changed configuration."""
        if self.pid:
            self.reload()

    def suspend(self) -> None:
        """Make Puppet Server hang: connections are accepted, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a suspended Puppet Server go on."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)

    def stop_hard(self) -> None:
        """Kill Puppet Server as a power failure would; start() brings the same CA back."""
        os.kill(self.pid, signal.SIGKILL)
        self.stop()

    # -- inside -----------------------------------------------------------------------------------

    def _spawn(self) -> None:
        self._restarts.write_text("0")
        # Whatever ends us, a pytest that is killed included, ends Puppet Server too.
        argv = ["/usr/bin/setpriv", "--pdeathsig", "TERM"]
        # Programs started by nohup ignore SIGHUP, which is how Puppet Server is told to reload.
        argv += ["/usr/bin/env", "--default-signal=HUP", "/usr/bin/java", *self._jvm]
        argv += ["-Djruby.lib=/usr/share/jruby/lib"]
        argv += [f"-Djava.io.tmpdir={self.root}/tmp", "-jar", JAR]
        argv += ["--config", f"{self.root}/conf.d", "--bootstrap-config", f"{self.root}/services.d"]
        argv += ["--restart-file", str(self._restarts)]
        with self.console.open("ab") as console:
            self._java = subprocess.Popen(
                argv,
                cwd=self.root,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        self.pid = self._java.pid

    def _wait_until_running(self) -> None:
        deadline = time.monotonic() + self._timeout
        while not self.is_running():
            if self._java is not None and self._java.poll() is not None:
                self._fail(f"Puppet Server ended with {self._java.returncode}")
            if time.monotonic() > deadline:
                self._fail(f"Puppet Server was not ready after {self._timeout} s")
            time.sleep(0.1)

    def is_running(self) -> bool:
        """Return whether Puppet Server says that it is ready for all services."""
        if self._restarts.read_text()[:1] in ("", "0"):
            return False
        try:
            return self.request("GET", "/status/v1/simple") == (200, b"running")
        except (OSError, http.client.HTTPException):
            return False

    def _fail(self, what: str) -> None:
        message = f"{what}\n{self.log_tail()}"
        raise LabFailed(message)


def _port_of(root: Path) -> int:
    """Return the port that a server in this directory had before; 0 if there was none."""
    known = root / "lab.json"
    return int(json.loads(known.read_text())["port"]) if known.exists() else 0


def main(directory: str) -> None:
    """Run a lab in `directory` until SIGINT or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), Lab(Path(directory)):
        signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
