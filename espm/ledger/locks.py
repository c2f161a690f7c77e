"""One espm per ledger: a lock that ends with its holder, however that ends.

SQLite: ``flock`` on a file beside the database, in which the holder says who it is; the kernel
drops the lock when the process is gone.  PostgreSQL: a session's advisory lock; the server drops
it when the connection is gone, and ``pg_stat_activity`` says whose it is.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn, Protocol, Self

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from espm.errors import BackendUnavailable, ConfigError, LedgerLocked
from espm.ledger.address import database_file, parse
from espm.ledger.engine import connect, explaining, translating

if TYPE_CHECKING:
    from pathlib import Path

# Any number will do, as long as nothing else in the database takes it: "espm" in ASCII.
_KEY = 0x6573706D

_TAKE = sa.select(sa.func.pg_try_advisory_lock(sa.literal(_KEY, sa.BigInteger)))
# A lock on one bigint shows its upper half as classid and its lower half as objid
# (PostgreSQL's manual, "pg_locks").
_HOLDER = sa.text(
    """SELECT application_name, backend_start FROM pg_stat_activity JOIN pg_locks USING (pid)
       WHERE locktype = 'advisory' AND granted AND classid = 0 AND objsubid = 1 AND objid = :key
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
).bindparams(key=_KEY)


class LedgerLock(Protocol):
    """A ledger that is ours alone until it is released or the process ends."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_exc: object) -> None: ...

    def confirm(self) -> None:
        """Return when the lock is still held; take it anew if the database lost it.

        :raises espm.errors.LedgerLocked: another espm has taken it meanwhile.
        :raises espm.errors.BackendUnavailable: nobody can say.
        """

    def release(self) -> None:
        """Let others have the ledger.  Idempotent."""


def lock(url: str) -> LedgerLock:
    """Take the ledger at *url* for this process, or say who has it.

    :raises espm.errors.LedgerLocked: another espm has it.
    :raises espm.errors.ConfigError: the URL is wrong, or the lock file cannot be written.
    :raises espm.errors.BackendUnavailable: the database does not answer.
    """
    parsed = parse(url)
    if parsed.get_backend_name() == "sqlite":
        database = database_file(parsed)
        return _FileLock(database.with_name(database.name + ".lock"))
    return _SessionLock(parsed)


class _Held(ABC):
    """What is released at the end of a block."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.release()

    @abstractmethod
    def release(self) -> None:
        """See :meth:`LedgerLock.release`."""


class _FileLock(_Held):
    """``flock`` on a file that says who holds it; the file stays, for removing it would race."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _open(path)
        try:
            self._take()
        except BaseException:
            self.release()
            raise

    def _take(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            _refuse(os.pread(self._file, 200, 0).decode("utf-8", "replace").strip(), exc)
        os.ftruncate(self._file, 0)
        since = datetime.now(UTC).isoformat(" ", "seconds")
        os.pwrite(self._file, f"{_whoami()}, since {since}\n".encode(), 0)

    def confirm(self) -> None:
        """See :meth:`LedgerLock.confirm`; a file that was removed or replaced locks nothing."""
        try:
            same = os.path.samestat(os.fstat(self._file), self._path.stat())
        except OSError:
            same = False
        if not same:
            msg = "the ledger's lock file was removed while espm ran; restart espm"
            raise BackendUnavailable(msg)

    def release(self) -> None:
        """See :meth:`LedgerLock.release`."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _open(path: Path) -> int:
    """Return a file of one name only, so that nobody has root write through a link of theirs."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        file = os.open(path, flags, 0o600)
    except OSError as exc:
        raise _unusable() from exc
    if os.fstat(file).st_nlink != 1:
        os.close(file)
        raise _unusable()
    if os.geteuid() == 0:  # As SQLite does with its files, so that espm can open it later.
        owner = path.parent.stat()
        os.fchown(file, owner.st_uid, owner.st_gid)
    return file


def _unusable() -> ConfigError:
    return ConfigError(["[ledger] url: this user cannot write the lock file beside the database"])


class _SessionLock(_Held):
    """An advisory lock of a session of its own."""

    def __init__(self, url: sa.URL) -> None:
        named = url.update_query_dict({"application_name": f"espm {_whoami()}"})
        self._engine = connect(named, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self._connection: sa.Connection | None = None
        self._using = threading.Lock()
        try:
            with explaining:
                self._take()
        except BaseException:
            self.release()
            raise

    def _take(self) -> None:
        with translating:
            self._connection = self._engine.connect()
            if not self._connection.execute(_TAKE).scalar():
                holder = self._connection.execute(_HOLDER).first()
                # Or the next look would find a session, and take it for one with the lock.
                self._drop()
                _refuse(_describe(holder[0], holder[1]) if holder else "")

    def confirm(self) -> None:
        """See :meth:`LedgerLock.confirm`; for any thread."""
        with self._using:
            try:
                with translating:
                    if self._connection is not None:
                        self._connection.execute(sa.text("SELECT 1"))
                        return
            except BackendUnavailable:
                self._drop()
            self._take()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

    def release(self) -> None:
        """See :meth:`LedgerLock.release`."""
        self._drop()
        self._engine.dispose()


def _describe(name: str, since: datetime) -> str:
    return f"{name.removeprefix('espm ')}, since {since.astimezone(UTC).isoformat(' ', 'seconds')}"


def _whoami() -> str:
    # PostgreSQL cuts an application's name off after 63 bytes.
    return f"pid {os.getpid()} on {socket.gethostname()[:40]}"


def _refuse(holder: str, cause: BaseException | None = None) -> NoReturn:
    msg = f"another espm works on this ledger: {holder or 'one that has only just started'}"
    raise LedgerLocked(msg) from cause
