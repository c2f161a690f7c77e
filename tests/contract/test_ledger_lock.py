"""One espm per ledger: who holds the lock is told, and death releases it."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from espm.errors import BackendUnavailable, ConfigError, LedgerLocked
from espm.ledger import lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HOLDER = """
import sys
from espm.ledger import lock
with lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(url: str) -> Iterator[subprocess.Popen[str]]:
    """Run another process that holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def terminate_holders(url: str) -> None:
    """Have PostgreSQL end the sessions of espm."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name LIKE 'espm pid%'"
            )
        )
    engine.dispose()


def test_the_second_is_told_who_holds_the_ledger(url: str) -> None:
    """Process, host and time are said, without paths or passwords."""
    with holder(url) as process, pytest.raises(LedgerLocked) as caught:
        lock(url)

    expected = (
        rf"another espm works on this ledger: pid {process.pid} on "
        rf"{re.escape(socket.gethostname()[:40])}, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00"
    )
    assert re.fullmatch(expected, str(caught.value))


def test_death_releases_the_ledger(url: str) -> None:
    """After kill -9 the next one may work at once."""
    with holder(url) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if url.startswith("postgresql"):
            terminate_holders(url)  # The server may take a moment to see that its client is gone.
        with lock(url) as held:
            held.confirm()


def test_release_is_idempotent_and_lets_the_next_one_in(url: str) -> None:
    """A lock is free as soon as it is released, in the same process too."""
    first = lock(url)
    first.confirm()
    first.release()
    first.release()

    with lock(url), pytest.raises(LedgerLocked):
        lock(url)


def test_the_lock_file_is_for_nobody_else(sqlite_url: str, tmp_path: Path) -> None:
    """It has mode 0600, whatever the umask."""
    before = os.umask(0)
    try:
        with lock(sqlite_url):
            mode = (tmp_path / "ledger.db.lock").stat().st_mode
    finally:
        os.umask(before)

    assert stat.S_IMODE(mode) == 0o600


def test_a_removed_lock_file_is_noticed(sqlite_url: str, tmp_path: Path) -> None:
    """A file that is gone or replaced locks nothing."""
    with lock(sqlite_url) as held:
        (tmp_path / "ledger.db.lock").unlink()
        with pytest.raises(BackendUnavailable):
            held.confirm()
        with lock(sqlite_url), pytest.raises(BackendUnavailable):
            held.confirm()


def test_a_lock_file_that_cannot_be_made_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    """A directory in the place of the file stands for whatever forbids it, root included."""
    (tmp_path / "ledger.db.lock").mkdir()

    with pytest.raises(ConfigError, match=r"\[ledger\] url"):
        lock(f"sqlite:///{tmp_path}/ledger.db")


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_lock_file_that_is_a_link_is_refused(
    tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    """Whoever owns the directory cannot have root write to a file of another."""
    (tmp_path / "precious").write_text("precious")
    link(tmp_path / "precious", tmp_path / "ledger.db.lock")

    with pytest.raises(ConfigError, match="lock file"):
        lock(f"sqlite:///{tmp_path}/ledger.db")
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_lock_file_made_by_root_belongs_to_the_owner_of_the_directory(tmp_path: Path) -> None:
    """After root upgraded the ledger, the daemon can still lock it."""
    os.chown(tmp_path, 65534, 65534)

    with lock(f"sqlite:///{tmp_path}/ledger.db"):
        owner = (tmp_path / "ledger.db.lock").stat()

    assert (owner.st_uid, owner.st_gid) == (65534, 65534)


@pytest.mark.postgresql
def test_a_lost_session_is_noticed_and_the_lock_taken_anew(postgres_url: str) -> None:
    """When the server ended the session, confirm has the lock again or says who took it."""
    with lock(postgres_url) as held:
        terminate_holders(postgres_url)
        held.confirm()
        with pytest.raises(LedgerLocked):
            lock(postgres_url)
        terminate_holders(postgres_url)
        with lock(postgres_url), pytest.raises(LedgerLocked, match=f"pid {os.getpid()}"):
            held.confirm()
