"""What the tests and the demonstration play the life of a node with."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509

from tests.live.agent import Agent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.live.lab import Lab

_GROUPS = """\
groups:
  - name: base
    parameters: {{role: from-the-group}}
    classes:
      espm_probe::motd: {{path: {motd}}}
"""


@contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """Make a directory that every user may enter, and remove it with all that is in it.

    Not one of pytest's: it keeps those from other users, such as the daemon's.
    """
    with tempfile.TemporaryDirectory(prefix=f"espm-{purpose}-") as name:
        root = Path(name)
        root.chmod(0o755)
        (root / "seen").mkdir()
        yield root


def groups(root: Path) -> str:
    """Return a groups file whose group `base` makes nodes write `seen/motd` in a scratch *root*."""
    return _GROUPS.format(motd=root / "seen/motd")


def probe(root: Path, name: str, content: str) -> tuple[Path, dict[str, Any]]:
    """Return a path in a scratch *root* and the class that writes *content* there."""
    path = root / "seen" / name
    return path, {"espm_probe": {"path": str(path), "content": content}}


def launched(lab: Lab, name: str, certificate: Mapping[str, str]) -> Agent:
    """Return an agent with the files that the API gave."""
    agent = Agent(lab, name)
    agent.install(
        private_key=certificate["private_key"],
        certificate=certificate["certificate"],
        ca_bundle=certificate["ca_bundle"],
    )
    return agent


def crl_serials(pem: bytes) -> set[str]:
    """Return the serials, in upper-case hexadecimal, in the first CRL of a PEM file."""
    return {f"{each.serial_number:X}" for each in x509.load_pem_x509_crl(pem)}
