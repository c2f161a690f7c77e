"""A real, private PostgreSQL for the tests: scratch directory, unix socket, no TCP.

Debian's package brings the programs.  They refuse to run as root, so that root hands them to an
ordinary user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

import psycopg

_SETTINGS = (
    "listen_addresses=",
    # What a test commits need not survive the machine.
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
)


class Postgres:
    """A PostgreSQL server that lives as long as the block."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="espm-postgres-"))
        self._names = 0
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            owner = _ordinary_user()
            os.chown(self.directory, owner.pw_uid, owner.pw_gid)
            self._user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}

    @staticmethod
    def missing() -> str | None:
        """Return why this machine cannot run one, if it cannot."""
        return None if _programs() else "PostgreSQL's server programs are not installed"

    def __enter__(self) -> Self:
        try:
            self._run("initdb", "--auth=trust", "--username=espm", "--encoding=UTF8", "--no-sync")
            self._start("start")
        except BaseException:
            shutil.rmtree(self.directory)
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self._run("pg_ctl", "stop", "--mode=immediate", "--wait", "--silent")
        shutil.rmtree(self.directory)

    def restart(self) -> None:
        """Restart without saving anything first, as after a crash; return when it serves."""
        self._start("restart", "--mode=immediate")

    def _start(self, *how: str) -> None:
        settings = [f"-c {setting}" for setting in _SETTINGS]
        options = " ".join([f"-k {self.directory}", *settings])
        log = str(self.directory / "log")
        self._run("pg_ctl", *how, "--wait", "--silent", f"--log={log}", f"-o {options}")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [_programs()[-1] / program, f"--pgdata={self.directory / 'data'}", *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd="/",
            **self._user,
        )

    def new_database(self) -> str:
        """Return the URL of a new, empty database, sorted otherwise than bytes."""
        self._names += 1
        name = f"espm_{self._names}"
        with psycopg.connect(
            f"host={self.directory} user=espm dbname=postgres", autocommit=True
        ) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")  # type: ignore[arg-type, unused-ignore]
        return f"postgresql+psycopg://espm@/{name}?host={self.directory}"


def _programs() -> list[Path]:
    return sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)


def _ordinary_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
