"""The ledger made and upgraded, always as the user whose it is."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from espm import ledger as ledgers

# Loaded while we are still who we are: espm's user may not be able to read Python's own files.
from espm.ledger import scripts  # noqa: F401
from espm_setup import as_owner, files
from espm_setup.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable

    from espm.model import Json

#: What SQLite and espm put beside a database, by how its name goes on.
_SUFFIXES = ("", "-wal", "-shm", "-journal", ".lock")


def file_of(url: str) -> Path | None:
    """Return the file of the ledger at *url*, if it is on SQLite."""
    prefix = "sqlite:///"
    return Path(url.removeprefix(prefix)) if url.startswith(prefix) else None


def make(url: str, owner: files.Owner, undo: Callable[..., None]) -> None:
    """Make the ledger at *url* for *owner*; one in SQLite that is there is left as it is.

    :raises espm.errors.EspmError: it cannot be made.
    """
    file = file_of(url)
    if file and file.exists():
        return
    if file and not file.parent.exists():
        files.make_directory(file.parent, (owner.uid, owner.gid, 0o700))
        undo(file.parent.rmdir)
    if file:
        new = as_owner.call(owner, lambda: _missing(file))
        undo(as_owner.call, owner, lambda: _unlink(new))
    as_owner.call(owner, lambda: ledgers.upgrade(url))


def upgrade(url: str, owner: files.Owner) -> list[str]:
    """Bring the ledger at *url* to this version's schema, after a backup; return what was done.

    :raises espm.errors.EspmError: it failed; the ledger is as it was.
    """
    file = file_of(url)
    copy, before, now = as_owner.call(owner, lambda: _upgraded(url, file))
    done = []
    if file is None:
        done = ["No backup was made: that of PostgreSQL is pg_dump's work."]
    elif copy:
        done = [f"Backup of the ledger: {copy}"]
    return [*done, f"The ledger's schema: {before or 'none'} before, {now} now."]


def owner(user: str | None, ini: Path, url: str, enc: Path) -> files.Owner:
    """Return the user whose the ledger at *url* is.

    Nobody but root can say that *ini* is root's; what lies in directories of other users only
    tells which of those it is that may read *ini*.

    :param user: the one that the command line names.
    :param enc: the ENC directory, which says it for a ledger on PostgreSQL.
    :raises espm_setup.errors.SetupError: that cannot be told.
    """
    status = ini.stat()
    if user or os.geteuid() != 0:
        return files.owner(user)
    if status.st_uid != 0:
        return files.named(status.st_uid)
    file = file_of(url)
    place = file.parent if file else enc
    found = files.named(place.stat().st_uid) if place.is_dir() else None
    if found is None or status.st_gid not in os.getgrouplist(found.name, found.gid):
        msg = f"it cannot be told whose ledger it is that {ini} names; name the user with --user"
        raise SetupError(msg)
    return found


def _missing(file: Path) -> Json:
    """Return the paths that making the database *file* may add."""
    paths = [file.with_name(file.name + suffix) for suffix in _SUFFIXES]
    return [str(path) for path in paths if not os.path.lexists(path)]


def _unlink(paths: list[str]) -> None:
    for path in paths:
        Path(path).unlink(missing_ok=True)


def _upgraded(url: str, file: Path | None) -> Json:
    before = ledgers.current(url)
    copy = _copy_of(file) if file and file.exists() else None
    ledgers.upgrade(url, save_as=copy)
    return [copy and str(copy), before, ledgers.current(url)]


def _copy_of(file: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return file.with_name(f"{file.name}.backup-{stamp}")
