"""A node: a Puppet agent whose every file is in a directory of its own.

Gets its certificate as cloud nodes do: `install` puts ready files where Puppet 6 and later expect
them, `submit_csr` makes a key of its own and asks the CA. `run` then is one real agent run.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

if TYPE_CHECKING:
    from pathlib import Path

    from tests.live.lab import Lab

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a native command: `output` is stdout and stderr, without colours."""

    exit_code: int
    output: str

    @property
    def changed(self) -> bool:
        """The agent applied changes, all of them with success (--detailed-exitcodes)."""
        return self.exit_code == 2

    @property
    def succeeded(self) -> bool:
        """The agent got a catalog and applied it, with or without changes."""
        return self.exit_code in (0, 2)


class Agent:
    """A node named `certname` of a lab; its files are in `root`, made if need be."""

    def __init__(self, lab: Lab, certname: str, root: Path | None = None) -> None:
        self.lab = lab
        self.certname = certname
        self.root = root or lab.root / "agents" / certname
        self.ssldir = self.root / "ssl"
        self.key = self.ssldir / f"private_keys/{certname}.pem"
        self.cert = self.ssldir / f"certs/{certname}.pem"
        self.csr = self.ssldir / f"certificate_requests/{certname}.pem"
        self.ca_file = self.ssldir / "certs/ca.pem"

    def install(self, *, private_key: str, certificate: str, ca_bundle: str) -> None:
        """Write the three PEM files that a node needs to run without asking the CA for anything."""
        _write(self.key, private_key, 0o640)
        _write(self.cert, certificate, 0o644)
        _write(self.ca_file, ca_bundle, 0o644)

    def submit_csr(self) -> Run:
        """Make a key and a CSR, if there are none, and send the CSR to the CA."""
        if not self.ca_file.exists():
            _write(self.ca_file, self.lab.ca_file.read_text(), 0o644)
        return self._puppet("ssl", "submit_request", "--verbose")

    def csr_fingerprint_sha256_of_der(self) -> str:
        """Return the SHA-256 of the submitted CSR's DER: lower-case hexadecimal, no colons.

        The agent deletes its CSR when it has got the certificate.
        """
        csr = x509.load_pem_x509_csr(self.csr.read_bytes())
        return sha256(csr.public_bytes(Encoding.DER)).hexdigest()

    def run(self, *options: str) -> Run:
        """Do one agent run; get a certificate that was signed since the CSR was submitted.

        No plugin is fetched: those of hundreds of modules take a minute, and our modules have none
        (`--no-pluginsync` has no effect any more).
        """
        return self._puppet(
            *("agent", "--onetime", "--no-daemonize", "--detailed-exitcodes", "--verbose"),
            *("--no-usecacheonfailure", "--no-splay", "--waitforcert", "0"),
            *options,
        )

    def _puppet(self, *arguments: str) -> Run:
        argv = ["/usr/bin/puppet", *arguments, *self._settings()]
        done = subprocess.run(  # noqa: PLW1510 - the exit code is the outcome
            argv,
            env=self.lab.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
        )
        return Run(done.returncode, COLOUR.sub("", done.stdout))

    def _settings(self) -> list[str]:
        here = {name: self.root / name for name in ("confdir", "vardir", "rundir", "logdir")}
        settings = here | {
            "ssldir": self.ssldir,
            "statedir": self.root / "vardir/state",
            "publicdir": self.root / "public",
            "certname": self.certname,
            "server": "localhost",
            "serverport": self.lab.port,
            "keylength": 2048,
            "pluginsignore": "*",
            # The agent would otherwise hand its files to a user `puppet`, if it runs as root.
            "user": os.geteuid(),
            "group": os.getegid(),
        }
        return [f"--{name}={value}" for name, value in settings.items()]


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.touch(mode=mode)
    path.write_text(text)
