"""The line that lets espm's user run the helper, and nothing else, as root."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from espm.command import run
from espm_setup import files
from espm_setup.errors import InTheWay, SetupError
from espm_setup.puppet import program

#: Where sudo looks for further files; names with a dot in them it leaves out.
PLACE = Path("/etc/sudoers.d/espm")

_OURS = (
    "# Lets espm run its helper, which checks every word once more, as root; and nothing else.\n"
)

# Older packages of sudo refuse who has no terminal; a daemon has none.
_TEXT = """\
Defaults:{user} !requiretty
{user} ALL=(root) NOPASSWD: {program}
"""


def text(user: str, helper: Path) -> str:
    """Return the content of the file for *user* and the *helper*.

    :raises espm_setup.errors.SetupError: sudo would read one of them as something else.
    """
    if not re.fullmatch(r"[a-z_][a-z0-9_-]*", user, re.ASCII):
        msg = f"sudo cannot be told of a user called {user!a}; choose another with --user"
        raise SetupError(msg)
    if not re.fullmatch(r"/[A-Za-z0-9._/-]+", str(helper), re.ASCII):
        msg = f"sudo cannot be told of the path {str(helper)!a}; choose another with --tools"
        raise SetupError(msg)
    return _OURS + _TEXT.format(user=user, program=helper)


def apply(user: str, helper: Path) -> list[str]:
    """Put the file in place, looked through by visudo before; return what was done.  Idempotent.

    :raises espm_setup.errors.InTheWay: there is a file of that name with other words in it.
    :raises espm_setup.errors.SetupError: sudo does not understand it, or is not here.
    """
    content = text(user, helper).encode()
    if PLACE.exists() and PLACE.read_bytes() == content:
        return [f"{PLACE} is as it should be; nothing was changed."]
    if PLACE.exists() or PLACE.is_symlink():
        raise InTheWay(files.in_the_way([PLACE]))
    aside = PLACE.with_name(f"{PLACE.name}{files.ASIDE}new")
    with suppress(FileNotFoundError):
        aside.unlink()
    files.create(aside, content, (0, 0, 0o440))
    try:
        _look_through(aside)
        aside.rename(PLACE)
    finally:
        with suppress(FileNotFoundError):
            aside.unlink()
    return [f"Made {PLACE}: {user} may run {helper} as root."]


def unapply() -> list[str]:
    """Remove the file if it is ours; return what was done.  Idempotent."""
    with suppress(FileNotFoundError):
        if PLACE.read_text(encoding="utf-8", errors="replace").startswith(_OURS):
            PLACE.unlink()
            return [f"Removed {PLACE}"]
        return [f"{PLACE} is not as espm_setup made it, and was left alone."]
    return ["Nothing of espm is in sudo's files; nothing was changed."]


def _look_through(path: Path) -> None:
    visudo = program("visudo", "/usr/sbin/visudo")
    if visudo is None:
        msg = "sudo is not installed here; install it, or let espm's user do without (--no-sudo)"
        raise SetupError(msg)
    output = run([visudo, "-c", "-f", str(path)], timeout=30)
    if output.status:
        said = (output.stdout + output.stderr).decode("utf-8", "replace").strip()
        msg = f"sudo does not understand what espm_setup wrote: {said}; nothing was changed"
        raise SetupError(msg)
