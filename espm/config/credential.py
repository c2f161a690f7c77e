"""A private key that systemd hands over: ``credential:NAME`` instead of a path.

With ``LoadCredential=NAME:PATH`` in the unit, systemd reads the file as root and puts a copy where
only the service can read it, in a directory whose name it tells the service alone.  Who runs a
command of espm by hand has no such directory, and most commands need no key.
"""

from __future__ import annotations

import os
import re

_CREDENTIAL = re.compile(r"credential:([A-Za-z0-9_][A-Za-z0-9_.-]{0,254})", re.ASCII)


def is_credential(value: str) -> bool:
    """Return whether *value* names a credential."""
    return _CREDENTIAL.fullmatch(value) is not None


def located(value: str) -> str:
    """Return the path of the credential that *value* names; without systemd, *value* itself."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
    match = _CREDENTIAL.fullmatch(value)
    return f"{directory}/{match[1]}" if match and directory.startswith("/") else value


def missing(value: str) -> str:
    """Return what to say when a key is needed and systemd has handed over none."""
    return (
        f'"{value}" is there only for the service that systemd starts (LoadCredential); to use it '
        "by hand while that runs, set CREDENTIALS_DIRECTORY=/run/credentials/espm.service"
    )
