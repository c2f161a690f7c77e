"""The ledger's schema: which one it has, bringing it up to date, and saving it before.

What needs Alembic is in :mod:`espm.ledger.scripts`, which a start does not load where all is well:
that would take a third of its time.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from espm.errors import BackendRefused, BackendUnavailable, ConfigError, MigrationNeeded
from espm.ledger.address import database_file, parse
from espm.ledger.engine import connect, explaining, reading, writing
from espm.ledger.locks import lock
from espm.ledger.schema import REVISION

if TYPE_CHECKING:
    from pathlib import Path

_VERSION = sa.table("alembic_version", sa.column("version_num", sa.String))
_REMEDY = "run espm_setup --upgrade"


def current(url: str) -> str | None:
    """Return the revision of the ledger at *url*, or None when it has no schema yet.

    :raises espm.errors.ConfigError: the URL is wrong or the driver missing.
    :raises espm.errors.BackendUnavailable: the database does not answer.
    """
    parsed = parse(url)
    if parsed.get_backend_name() == "sqlite" and not database_file(parsed).exists():
        return None
    engine = connect(parsed, poolclass=NullPool)
    return _revision(engine)


def check(engine: sa.Engine) -> None:
    """Return when the schema behind *engine* is the one that this espm works with.

    :raises espm.errors.MigrationNeeded: it is older, newer or not there; says what to do.
    """
    has, wants = _revision(engine), REVISION
    if has == wants:
        return
    if has is None:
        msg = f"the ledger is empty, this espm works with schema {wants}: {_REMEDY}"
    elif has in _known():
        msg = f"the ledger has schema {has}, this espm works with {wants}: {_REMEDY}"
    else:
        msg = _newer(has)
    raise MigrationNeeded(msg)


def upgrade(url: str, save_as: Path | None = None) -> None:
    """Create the ledger at *url* or bring its schema up to date.  Idempotent.

    Takes the ledger's lock, so no espm may run on it.  A new SQLite database gets mode 0600;
    its directory must be there.

    :param save_as: where it is copied to before, as by :func:`backup`; by default nowhere.
    :raises espm.errors.LedgerLocked: an espm works on this ledger.
    :raises espm.errors.MigrationNeeded: the ledger is newer than this espm.
    :raises espm.errors.ConfigError: the URL is wrong, the driver missing, or the copy not made.
    :raises espm.errors.BackendUnavailable: the database does not answer, or not as it must, and
        the message has its reason; nothing was changed.
    """
    parsed = parse(url)
    with lock(url):
        if parsed.get_backend_name() == "sqlite":
            _create_file(database_file(parsed))
        engine = connect(parsed, poolclass=NullPool)
        has = _revision(engine)
        if has is not None and has not in _known():
            raise MigrationNeeded(_newer(has))
        if save_as is not None:
            backup(url, save_as)
        from espm.ledger import scripts  # noqa: PLC0415 - see above

        with explaining, writing(engine) as connection:
            if connection.dialect.name == "postgresql":
                # What goes over all of history takes as long as there is history.
                connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
            scripts.run(connection)


def backup(url: str, destination: Path) -> None:
    """Copy the ledger at *url* to the new file *destination* (mode 0600), also while espm runs.

    :raises espm.errors.BackendRefused: the ledger is on PostgreSQL, which has its own tool.
    :raises espm.errors.ConfigError: *destination* exists or cannot be made.
    :raises espm.errors.BackendUnavailable: copying failed; *destination* is removed again.
    """
    parsed = parse(url)
    if parsed.get_backend_name() != "sqlite":
        msg = "a ledger on PostgreSQL is backed up with pg_dump, not by espm"
        raise BackendRefused(msg)
    if not database_file(parsed).exists():
        raise ConfigError(["there is no ledger to back up"])
    try:
        _create(destination)
    except OSError as exc:
        msg = f"{destination}: {exc.strerror}; a backup needs a new file that espm's user may make"
        raise ConfigError([msg]) from exc
    try:
        _copy(database_file(parsed), destination)
    except (sqlite3.Error, OSError) as exc:
        destination.unlink(missing_ok=True)
        msg = "the ledger could not be copied"
        raise BackendUnavailable(msg) from exc


def _known() -> frozenset[str]:
    from espm.ledger import scripts  # noqa: PLC0415 - see above

    return scripts.known()


def _newer(revision: str) -> str:
    return (
        f"the ledger has schema {revision}, which is newer than this espm (it knows schemas up "
        f"to {REVISION}): run the espm that upgraded it, or a later one"
    )


def _revision(engine: sa.Engine) -> str | None:
    with explaining, reading(engine) as connection:
        if not sa.inspect(connection).has_table(_VERSION.name):
            return None
        found: str | None = connection.execute(sa.select(_VERSION.c.version_num)).scalar()
        return found


def _create_file(path: Path) -> None:
    if path.exists():
        return
    try:
        _create(path)
    except OSError as exc:
        msg = "[ledger] url: the database cannot be created by this user"
        raise ConfigError([msg]) from exc


def _create(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _copy(source: Path, destination: Path) -> None:
    # All pages in one step: the copy is one moment of the ledger, however busy it is.
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as original,
        closing(sqlite3.connect(destination)) as copy,
    ):
        original.backup(copy, pages=-1)
    with destination.open("rb") as written:
        os.fsync(written.fileno())
