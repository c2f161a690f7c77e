"""espm itself beside a lab: set up by `espm_setup --apply`, run as a process of its own."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tests.api.platform import Client
from tests.live.user import PATHS, REPOSITORY, as_user, daemon_user, importable, interpreter
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.live.lab import Lab

ENC = REPOSITORY / "etc/espm_enc"


class StackFailed(RuntimeError):
    """espm could not be set up or started."""


@dataclass(frozen=True, slots=True)
class Printed:
    """What `espm_setup` printed, and the two values that a platform needs."""

    text: str

    @property
    def psk(self) -> str:
        """The preshared key."""
        return self._find(r"Preshared Key:\n(\S{48})\n")

    @property
    def certificate(self) -> str:
        """The certificate (PEM)."""
        return self._find(r"Certificate:\n(-----BEGIN.*?-----END CERTIFICATE-----\n)")

    @property
    def pin(self) -> str:
        """The pin for curl."""
        return self._find(r"--pinnedpubkey '(sha256//\S+)'")

    def _find(self, pattern: str) -> str:
        found = re.search(pattern, self.text, re.DOTALL)
        if found is None:
            raise StackFailed(self.text)
        return found.group(1)


class Stack:
    """An espm that serves the platform `default` and talks to *lab*."""

    def __init__(
        self,
        lab: Lab,
        root: Path,
        *,
        ca: str = "http_api",
        groups: str = "",
        options: tuple[str, ...] = (),
    ) -> None:
        self.lab = lab
        self.root = root
        self.etc = root / "etc"
        self.ini = self.etc / "espm.ini"
        self.enc = root / "enc"
        self.log = root / "espm.log"
        self.user = daemon_user()
        self.port = free_port()
        self._ca = ca
        self._options = options
        self._groups = groups
        self._process: subprocess.Popen[bytes] | None = None
        self.printed = Printed("")

    def __enter__(self) -> Self:
        self.set_up()
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        return self._running().pid

    def set_up(self) -> None:
        """Run `espm_setup --apply` against the lab."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o755)
        self.printed = Printed(self.setup("--create", "--user", self.user, "--apply"))
        if self._groups:
            (self.etc / "groups.yaml").write_text(self._groups)
        (self.root / "espm.pem").write_text(self.printed.certificate)

    def setup(self, *options: str) -> str:
        """Run `espm_setup` with the options that this stack always needs; return its output."""
        argv = [sys.executable, "-m", "espm_setup", *self.always(), *options]
        done = self.run(argv)
        if done.returncode:
            message = f"espm_setup exited with {done.returncode}\n{done.stdout}{done.stderr}"
            raise StackFailed(message)
        return done.stdout

    def always(self) -> list[str]:
        """Return the options of `espm_setup` that this stack always needs."""
        always: list[Any] = ["-d", self.etc, "-c", self.etc / "certs", "-p", self.port]
        always += ["--host", "127.0.0.1", "--name", "localhost", "--san", "127.0.0.1"]
        always += ["--confdir", self.lab.confdir, "--server-confdir", self.lab.conf_d]
        always += ["--puppet-url", self.lab.url, "--ca-file", self.lab.ca_file, "--enc", ENC]
        always += ["--ca", self._ca, *self._options, "--reload", self._reload_command()]
        return [str(word) for word in always]

    def _reload_command(self) -> Path:
        """Return a program that reloads the lab, in whatever environment it is called."""
        script = self.root / "reload"
        script.write_text(
            f"#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -m tests.live.reload_lab "
            f"{self.lab.root}\n"
        )
        script.chmod(0o755)
        return script

    def run(self, argv: list[Any]) -> subprocess.CompletedProcess[str]:
        """Run a command in the repository and return its outcome."""
        return subprocess.run(
            [str(word) for word in argv],
            check=False,
            cwd=REPOSITORY,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=300,
        )

    def espm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `espm` as the daemon's user and return its outcome."""
        with importable(self.root / "code") as (path, fd):
            return subprocess.run(
                [interpreter(self.user), "-m", "espm", *arguments, "-c", str(self.ini)],
                check=False,
                cwd="/",
                env=self.environment() | {"PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=300,
                pass_fds=(fd,),
                **as_user(self.user),
            )

    def environment(self) -> dict[str, str]:
        """Return an environment in which espm is importable."""
        path = ":".join(map(str, PATHS))
        return self.lab.environment() | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}

    def check(self) -> dict[str, list[str]]:
        """Run `espm check` as the daemon's user and return the states of each line."""
        with importable(self.root / "code") as (path, fd):
            done = subprocess.run(
                [interpreter(self.user), "-m", "espm", "check", "--json", "-c", str(self.ini)],
                check=False,
                cwd="/",
                env=self.environment() | {"PYTHONPATH": path},
                capture_output=True,
                text=True,
                timeout=120,
                pass_fds=(fd,),
                **as_user(self.user),
            )
        found: dict[str, list[str]] = {}
        for finding in json.loads(done.stdout):
            found.setdefault(finding["subject"], []).append(finding["state"])
        return found

    def start(self) -> None:
        """Start the daemon and return when it serves."""
        with self.log.open("ab") as log, importable(self.root / "code") as (path, fd):
            offset = log.tell()
            self._process = subprocess.Popen(
                [interpreter(self.user), "-m", "espm", "-c", str(self.ini)],
                cwd="/",
                env=self.environment() | {"PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(fd,),
                **as_user(self.user),
            )
        self.wait_for("ENGINE Bus STARTED", offset)

    def wait_for(self, text: str, offset: int = 0, seconds: float = 30) -> None:
        """Return when *text* is in the daemon's log behind *offset*."""
        self.wait_until(lambda: text in self.log.read_text()[offset:], text, seconds)

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
        """Return when *condition* holds; fail when the daemon ends or time is up."""
        end = time.monotonic() + seconds
        while not condition():
            if self._running().poll() is not None or time.monotonic() > end:
                message = f"no sign of '{what}'\n{self.log.read_text()}"
                raise StackFailed(message)
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the daemon a signal, wait for its end and return its exit code."""
        process = self._running()
        process.send_signal(number)
        return process.wait(timeout=60)

    def signal(self, number: int) -> None:
        """Send the daemon a signal."""
        self._running().send_signal(number)

    def signal_reload(self) -> None:
        """Have the daemon read its groups again, and return when it has."""
        offset = self.log.stat().st_size
        self.signal(signal.SIGHUP)
        self.wait_for("ENGINE Reloaded.", offset, seconds=60)

    def end(self) -> None:
        """End the daemon, by force if it does not stop by itself.  Idempotent."""
        if self._process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self.stop()
        self._process.kill()
        self._process.wait()
        self._process = None

    def close(self) -> None:
        """Stop the daemon and take back what was done to the lab.  Idempotent."""
        self.end()
        if self.etc.exists():
            self.setup("--unapply")
            shutil.rmtree(self.root)

    def client(self, psk: str | None = None) -> Client:
        """Return a platform that pins the certificate and has the key that was printed."""
        return Client(
            f"https://localhost:{self.port}", str(self.root / "espm.pem"), psk or self.printed.psk
        )

    def document(self, certname: str) -> str | None:
        """Return the ENC's document of *certname*."""
        path = self.enc / f"{certname}.json"
        return path.read_text() if path.exists() else None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            message = "espm is not running"
            raise StackFailed(message)
        return self._process


def own_name() -> tuple[str, str]:
    """Return the option that gives an espm a name which no other has.

    A lab's CA keeps the certificate of every espm that was set up beside it.
    """
    return "--certname", f"espm-{secrets.token_hex(4)}.espm.test"
