"""Looking at the files that the configuration names, before anybody relies on them.

A secret that others can read is no secret, and one that they can write is theirs: espm refuses
to work with it and says which command cures it.
"""

from __future__ import annotations

import stat
from shlex import quote
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

from espm.config.file import reason

if TYPE_CHECKING:
    from pathlib import Path

    from espm.config.file import Faults, Place

#: Others may neither read nor write it, and the group may not write it.
_TOO_OPEN = stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP


def guard(path: Path, place: Place, faults: Faults) -> None:
    """Note a fault at *place* when *path* is a file that others can read or change."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return  # Whoever reads it says why.
    if stat.S_ISREG(mode) and mode & _TOO_OPEN:
        what = f"others can read or change {path}, which holds secrets"
        faults.add(place, f"{what}; do: chmod u=rw,g-w,o= {quote(str(path))}")


def readable(path: Path, place: Place, faults: Faults) -> None:
    """Note a fault at *place* unless *path* is a file that we can read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            faults.add(place, f"{path} is not a file")
            return
        path.open("rb").close()
    except (OSError, ValueError) as exc:
        faults.add(place, f"{path} cannot be read: {reason(exc)}")


def certname(path: Path, place: Place, faults: Faults) -> str:
    """Return the common name in the certificate at *path*; empty, with a fault, if none is."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        name = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    except OSError:
        return ""  # readable() has said why.
    except (ValueError, IndexError):
        faults.add(place, f"{path} is not a certificate (PEM) with a common name")
        return ""
    return str(name)
