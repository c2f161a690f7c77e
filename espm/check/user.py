"""Going on as espm's own user, and seeing whether that can run espm at all."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import espm
from espm.check.finding import Context, Finding, State

if TYPE_CHECKING:
    from espm.config import Config

#: Files of Python's own library, of the packages beside espm, and of espm.
_LIBRARY = (
    Path(os.__file__),
    Path(sys.modules["cryptography"].__file__ or ""),
    Path(espm.__file__),
)


def become_espm(loaded: Config) -> str:
    """Go on as the owner of the ENC's directory, when we are root and that is somebody else.

    An ENC without a directory of ours leaves the directory of the ledger, where that is a file.

    Root may read everything, so it would not find what espm itself cannot, and files that it
    makes while it looks (a lock, say) would be in espm's way later.

    :return: the user's name; empty when we stay who we are.
    """
    directory = Context(loaded).enc_directory or _ledger(loaded)
    if os.geteuid() != 0 or directory is None or not directory.exists():
        return ""
    owner = pwd.getpwuid(directory.stat().st_uid)
    if owner.pw_uid == 0:
        return ""
    os.initgroups(owner.pw_name, owner.pw_gid)
    os.setgid(owner.pw_gid)
    os.setuid(owner.pw_uid)
    # Where the library of PostgreSQL looks for a password.
    os.environ["HOME"] = owner.pw_dir
    return owner.pw_name


def _ledger(loaded: Config) -> Path | None:
    _, found, path = loaded.ledger_url.partition("sqlite:///")
    return Path(path).parent if found else None


def python(user: str) -> Finding | None:
    """Return a finding when *user*, who we are now, cannot read this Python or espm.

    Modules are imported, codecs among them, whenever they are first needed: without this, each
    check would break in a way of its own.
    """
    hidden = next((path for path in _LIBRARY if not os.access(path, os.R_OK)), None)
    if hidden is None:
        return None
    what = f"espm's user {user} cannot read the Python installation at {sys.prefix}: {hidden}"
    remedy = "run espm with a Python that all users can read: the system's, not one in a home"
    return Finding("daemon", State.FAIL, what, remedy)
