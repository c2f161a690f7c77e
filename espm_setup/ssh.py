"""The key by which espm reaches another host, and what is to be done there."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from espm import x509
from espm_setup import files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from espm_setup.files import Owner

# Such a login is for one program, without a terminal and without ways to other hosts; sshd of
# 2007 knows these words, but not "restrict".
_OPTIONS = "no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty"


def keys(certificates: Path) -> Mapping[str, object]:
    """Return the keys of the configuration about this, with the files in *certificates*."""
    key, _, known = written(certificates)
    return {"ssh_key": key, "ssh_known_hosts": known}


def place(certificates: Path, host: str, owner: Owner, undo: Callable[..., None]) -> None:
    """Write a new key, its line for authorized_keys, and a file for the host's key."""
    key = x509.new_key("rsa")  # Which sshd of 2007 understands as well.
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    line = f"{_OPTIONS} {public} espm"
    contents = (
        (secret, owner.secret),
        (f"{line}\n".encode(), owner.public),
        (_known(host).encode(), owner.public),
    )
    for path, (data, rights) in zip(written(certificates), contents, strict=True):
        files.create(path, data, rights)
        undo(path.unlink)


def written(certificates: Path) -> list[Path]:
    """Return the paths that :func:`place` writes."""
    return [certificates / name for name in ("espm_ssh", "espm_ssh.pub", "known_hosts")]


def scan(host: str) -> str:
    """Return the command that asks the *host* (ssh URL) for its key."""
    parts = urlsplit(host)
    port = f"-p {parts.port} " if parts.port else ""
    return f"ssh-keyscan {port}-t rsa {parts.hostname}"


def _known(host: str) -> str:
    return f"# The key of the host: {scan(host)}, compared with what its console says of it.\n"
