"""The user that espm runs as in the tests, and what lets it run our code.

As root, the daemon runs as an unprivileged user, for that is what an administrator is promised.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]

#: Where espm and what it needs are imported from.
PATHS = (REPOSITORY, Path(sysconfig.get_path("purelib")))

#: Who runs the daemon when root runs the tests.
UNPRIVILEGED = "nobody"


def daemon_user() -> str:
    """Return the name of the user that runs the daemon."""
    return UNPRIVILEGED if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


@contextmanager
def importable(place: Path) -> Iterator[tuple[str, int]]:
    """Yield a PYTHONPATH that holds for every user, and a descriptor to pass on for it.

    What is in root's home is out of everybody's reach. So espm is copied to *place*, and what it
    needs is reached by an open directory (proc(5), /proc/pid/fd: such a link leads there without
    a look at the path).
    """
    shutil.copytree(REPOSITORY / "espm", place / "espm", dirs_exist_ok=True)
    descriptor = os.open(PATHS[1], os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"{place}:/proc/self/fd/{descriptor}", descriptor
    finally:
        os.close(descriptor)


def interpreter(user: str) -> str:
    """Return a Python of our version that *user* may execute.

    A root's own Python may be out of everybody's reach; Debian's is in everybody's.
    """
    for program in (sys.executable, "/usr/bin/python3"):
        code = "import sys; print(sys.version_info[:2] == " + repr(sys.version_info[:2]) + ")"
        try:
            done = subprocess.run(
                [program, "-c", code],
                check=False,
                capture_output=True,
                text=True,
                cwd="/",
                **as_user(user),
            )
        except PermissionError:
            continue
        if done.stdout.strip() == "True":
            return program
    message = f"no Python {sys.version_info[0]}.{sys.version_info[1]} that '{user}' may execute"
    raise RuntimeError(message)


def as_user(user: str) -> dict[str, Any]:
    """Return the arguments that make subprocess run something as *user*, if root asks."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
