"""The daemon and its commands as processes of their own, with a configuration that tests change."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, Self

import trustme

from espm.classifier.directory import prepare
from tests import new_ledger
from tests.api.platform import GROUPS, PSK, Client
from tests.configsamples import Sample
from tests.fake_puppet import FakePuppet, write_identity
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

REPOSITORY = Path(__file__).parents[2]
STARTED = "ENGINE Bus STARTED"


def digest(psk: str) -> str:
    """Return what the configuration has for the preshared key *psk*."""
    return hashlib.sha256(psk.encode()).hexdigest()


class Output:
    """The lines that a process writes, as they come."""

    def __init__(self, stream: IO[str]) -> None:
        self.lines: list[str] = []
        self._ended = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(stream,))
        self._thread.start()

    @property
    def text(self) -> str:
        """All of it so far."""
        return "\n".join(self.lines)

    def wait_for(self, text: str, since: int = 0, seconds: float = 20) -> str:
        """Return the first line behind the first *since* ones that has *text* in it."""
        with self._news:
            met = self._news.wait_for(lambda: self._ended or self._find(text, since), seconds)
        found = self._find(text, since)
        assert met, f"no sign of {text!r} in time:\n{self.text}"
        assert found is not None, f"it ended without {text!r}:\n{self.text}"
        return found

    def rest(self) -> str:
        """Return all of it, once the process has closed it."""
        self._thread.join(20)
        return self.text

    def _find(self, text: str, since: int) -> str | None:
        return next((line for line in self.lines[since:] if text in line), None)

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._tell(line)
        self._tell(None)

    def _tell(self, line: str | None) -> None:
        with self._news:
            if line is None:
                self._ended = True
            else:
                self.lines.append(line.rstrip("\n"))
            self._news.notify_all()


class Daemon:
    """A running ``python -m espm``; a subclass may run it in another way.

    :ivar out: what it writes to standard output; :ivar err: to standard error.
    """

    command: Sequence[str] = (sys.executable, "-m", "espm")
    options: Mapping[str, Any] = MappingProxyType({"cwd": REPOSITORY})

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [*self.command, *arguments],
            env=_environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **self.options,
        )
        assert self.process.stdout
        assert self.process.stderr
        self.out, self.err = Output(self.process.stdout), Output(self.process.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.ended()

    def ended(self, seconds: float = 35) -> int:
        """Return its exit code, once it has ended."""
        code = self.process.wait(seconds)
        self.out.rest()
        self.err.rest()
        return code

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal and return its exit code."""
        self.process.send_signal(number)
        return self.ended()

    def reload(self) -> str:
        """Send it SIGHUP and return what it said until it was done."""
        since = len(self.out.lines)
        self.process.send_signal(signal.SIGHUP)
        self.out.wait_for("ENGINE Reloaded", since)
        return "\n".join(self.out.lines[since:])


@dataclass
class Site:
    """Everything that an espm needs, in a directory.

    :ivar sample: the configuration; write it after a change.
    """

    directory: Path
    port: int
    sample: Sample
    authority: trustme.CA

    @classmethod
    def make(cls, directory: Path, authority: trustme.CA, puppet_url: str) -> Site:
        """Set up an espm whose Puppet is at *puppet_url*."""
        sample = Sample.make(directory)
        write_identity(authority, directory)
        site = cls(directory, free_port(), sample, authority)
        new_ledger.write(directory / "ledger.db")
        site.enc.mkdir()
        prepare(site.enc)
        site.groups(GROUPS)
        site.certificate()
        sample.platform(psk_sha256=digest(PSK))
        sample.set("server", host="127.0.0.1", port=str(site.port), threads="8")
        sample.set("puppet", url=puppet_url, timeout="20")
        sample.set("ledger", url=site.ledger_url)
        sample.set("builtin", directory=str(site.enc), groups_file=str(directory / "groups.yaml"))
        sample.write()
        return site

    @property
    def ini(self) -> str:
        """The configuration file."""
        return str(self.directory / "espm.ini")

    @property
    def ledger_url(self) -> str:
        """The ledger."""
        return f"sqlite:///{self.directory}/ledger.db"

    @property
    def enc(self) -> Path:
        """The directory of the ENC's documents."""
        return self.directory / "enc"

    def groups(self, text: str) -> None:
        """Write the groups file."""
        (self.directory / "groups.yaml").write_text(text)

    def certificate(self, key_type: trustme.KeyType = trustme.KeyType.ECDSA) -> trustme.CA:
        """Write a new server certificate and return the authority it is from."""
        authority = trustme.CA(key_type=key_type)
        leaf = authority.issue_cert("127.0.0.1", key_type=key_type)
        leaf.cert_chain_pems[0].write_to_path(self.directory / "server.pem")
        leaf.private_key_pem.write_to_path(self.sample.server_key)
        authority.cert_pem.write_to_path(self.directory / "server-ca.pem")
        return authority

    def start(self, **environment: str) -> Daemon:
        """Start the daemon; it may not serve yet."""
        return Daemon("-c", self.ini, **environment)

    @contextmanager
    def serving(self, **environment: str) -> Iterator[Daemon]:
        """Run the daemon; it serves when the block begins."""
        with self.start(**environment) as daemon:
            daemon.out.wait_for(STARTED)
            yield daemon

    def client(self, psk: str | None = PSK) -> Client:
        """Return a platform that calls it."""
        ca_file = str(self.directory / "server-ca.pem")
        return Client(f"https://127.0.0.1:{self.port}", ca_file, psk)

    def document(self, certname: str) -> str | None:
        """Return the ENC's document of *certname*."""
        path = self.enc / f"{certname}.json"
        return path.read_text() if path.exists() else None


@contextmanager
def site_with_puppet(directory: Path) -> Iterator[tuple[Site, FakePuppet]]:
    """Set up an espm beside a fake Puppet."""
    authority = trustme.CA()
    with FakePuppet(authority) as puppet:
        yield Site.make(directory, authority, puppet.url), puppet


def espm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of espm to its end."""
    return subprocess.run(
        [sys.executable, "-m", "espm", *arguments],
        check=False,
        cwd=REPOSITORY,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )


def _environment(**more: str) -> dict[str, str]:
    kept = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ
    }
    return kept | more
