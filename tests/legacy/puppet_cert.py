"""Old Puppet's CA for tests: ``legacy_puppet`` makes one in a directory.

    tree = legacy_puppet(tmp_path, "2.7.12")
    subprocess.run([tree.program, "cert", "generate", "--color=false", "--", "web.example.com"])

The program keeps real X.509 files and says what the recorded versions say; how it does is in the
modules beside this one.  Without ``--confdir`` it takes the tree's.
"""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.legacy import puppet_settings
from tests.legacy.puppet_main import LOG, Program
from tests.legacy.puppet_versions import KNOWN

_ROOT = Path(__file__).parents[2]
_BOOT = (
    f"import sys; sys.path.insert(0, {str(_ROOT)!r}); "
    "from tests.legacy.puppet_main import main; sys.exit(main())"
)


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended.

    :ivar status: its exit status.
    :ivar stdout: what it said; likewise *stderr*.
    """

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Command:
    """One start of the program.

    :ivar argv: its arguments.
    :ivar start: when it began, in seconds since 1970.
    :ivar end: when it ended; None while it runs, or when it was killed.
    :ivar status: its exit status, likewise.
    """

    argv: list[str]
    start: float
    end: float | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    """One old Puppet.

    :ivar directory: where all of it is.
    :ivar version: which Puppet it is.
    """

    directory: Path
    version: str

    @property
    def program(self) -> Path:
        """The executable."""
        return self.directory / "bin" / "puppet"

    @property
    def confdir(self) -> Path:
        """Its configuration directory."""
        return self.directory / "puppet"

    @property
    def ssldir(self) -> Path:
        """Where its CA is once it was used."""
        return self.confdir / "ssl"

    def tell(self, **values: Any) -> None:
        """Change how the program behaves from its next start on.

        Values are delay (seconds each command takes at least), crl_gap (seconds between reading
        and writing the CRL), key_gap (seconds between seeing that a host has no key and writing
        one), keylength, version, and die_at: where the next command that comes
        there is to die, once, as by SIGKILL ("csr": the CSR of ``generate`` waits, "serial":
        serial.tmp is there, "inventory": the certificate is in the inventory only, "signed": the
        CSR is still there, "revoked": it said so and did not write the CRL).
        """
        unknown = values.keys() - puppet_settings.DEFAULTS.keys()
        assert not unknown, unknown
        puppet_settings.save(self.directory, {**puppet_settings.load(self.directory), **values})

    def run(self, *arguments: str) -> Said:
        """Run the program within this process, which spares its start and must not die."""
        assert not puppet_settings.load(self.directory)["die_at"]
        out: list[str] = []
        err: list[str] = []
        status = Program(self.directory, out.append, err.append).run(arguments)
        return Said(status, "".join(out), "".join(err))

    def cert(self, action: str, *arguments: str) -> Said:
        """Run ``puppet cert ACTION --color=false`` within this process."""
        return self.run("cert", action, "--color=false", *arguments)

    def commands(self) -> list[Command]:
        """Return what was started so far, in the order of the starts."""
        log = self.directory / LOG
        found: list[tuple[int, Command]] = []
        for line in log.read_text().splitlines() if log.exists() else []:
            noted = json.loads(line)
            pid = noted.pop("pid")
            if "start" in noted:
                found.append((pid, Command(**noted)))
                continue
            # One process runs one command at a time, so the last of its pid is meant.
            place = max(n for n, (owner, _) in enumerate(found) if owner == pid)
            begun = found[place][1]
            found[place] = (pid, Command(begun.argv, begun.start, noted["end"], noted["status"]))
        return [command for _, command in found]


def legacy_puppet(
    directory: Path, version: str, *, delay: float = 0.0, crl_gap: float = 0.0
) -> Tree:
    """Make an old Puppet whose CA does not exist yet.

    :param directory: where; it may exist.
    :param version: one of :data:`~tests.legacy.puppet_versions.KNOWN`.
    :param delay: seconds that each command takes; the real 2.7.12 takes 0.55 (reference facts on
        old Puppet, 1.7).
    :param crl_gap: seconds between reading and writing the CRL.
    """
    assert version in KNOWN, version
    tree = Tree(directory, version)
    tree.program.parent.mkdir(parents=True)
    tree.confdir.mkdir()
    told = {"version": version, "delay": delay, "crl_gap": crl_gap}
    puppet_settings.save(directory, {**puppet_settings.DEFAULTS, **told})
    boot = shlex.join([sys.executable, "-I", "-c", _BOOT, str(directory)])
    tree.program.write_text(f'#!/bin/sh\nexec {boot} "$@"\n')
    tree.program.chmod(0o755)
    return tree
