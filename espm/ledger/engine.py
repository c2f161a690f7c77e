"""Opening the database that a ledger URL names, set up so that what is committed stays.

SQLite: write-ahead log, ``synchronous=FULL`` (an fsync for every commit) and ``BEGIN IMMEDIATE``
for whatever writes: a transaction that reads first and writes then would otherwise fail at once
when another has written meanwhile, however long the busy timeout is (SQLite's documentation,
"Isolation In SQLite").  What only reads begins none, and never waits for a writer.

PostgreSQL: through psycopg 3 only, with limits on how long a statement or a lock may take.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool

from espm.errors import BackendUnavailable, ConfigError, MigrationNeeded
from espm.ledger import statements
from espm.ledger.address import database_file
from espm.ledger.few import Few
from espm.raising import Raising

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine.interfaces import DBAPIConnection

#: Seconds that a transaction waits for another one that writes.
BUSY_SECONDS = 30

_BEGIN = "BEGIN IMMEDIATE"

# Options of an engine for SQLite: the connections that are kept to write and to read.
_WRITERS, _READERS = "espm_writers", "espm_readers"

# Connections that were used last are used first: each has its own cache of statements and pages.
# PostgreSQL works for as many threads as ask, and sixteen connections are kept for them.
_POOL = {"pool_size": 16, "max_overflow": -1, "pool_use_lifo": True}
# SQLite works in our own process, where one thread runs at a time: with one that writes and two
# that read somebody can read while another waits for the disk, or looks for long.  More are memory,
# half a megabyte each, and nobody is quicker for it.
_WRITING, _READING = 1, 2

# The busy timeout comes first, for switching to the write-ahead log may have to wait as well.
_PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    # SQLite's own two megabytes for each connection would be a tenth of all that espm may take.
    "PRAGMA cache_size = -256",
)

# libpq's own default would be to wait for ever, also for a server whose host has vanished.
_PATIENCE = {
    "connect_timeout": "10",
    "tcp_user_timeout": f"{BUSY_SECONDS}000",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "4",
}

# A server that commits without waiting for its disk would break every promise of the ledger;
# stricter settings than "on" are left as the administrator chose them.
_SESSION = (
    f"SET statement_timeout = '{BUSY_SECONDS}s'",
    f"SET lock_timeout = '{BUSY_SECONDS}s'",
    "SET idle_in_transaction_session_timeout = '60s'",
    """SELECT set_config('synchronous_commit', 'on', false)
       WHERE current_setting('synchronous_commit') = 'off'""",
)


def connect(url: sa.URL, **options: Any) -> sa.Engine:
    """Return an engine for *url*, from :func:`espm.ledger.address.parse`; nothing is connected yet.

    It is for :func:`writing` and :func:`reading`: by itself it begins no transaction in SQLite.  It
    must be disposed of, for it keeps connections.

    :param options: arguments for :func:`sqlalchemy.create_engine`, in place of a pool; nothing is
        kept then, and writers take no turns.
    :raises espm.errors.ConfigError: the driver is not installed.
    :raises espm.errors.MigrationNeeded: the SQLite database was not created yet.
    """
    if url.get_backend_name() == "sqlite":
        return _connect_sqlite(url, options)
    return _connect_postgresql(url, options)


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Run the block in one transaction that may write; it is durable when the block is left.

    :raises espm.errors.BackendUnavailable: the database is away, full, locked or broken.
    :raises sqlalchemy.exc.IntegrityError: a constraint was violated.
    """
    writers: Few | None = engine.get_execution_options().get(_WRITERS)
    with translating:
        if writers is None:
            with engine.begin() as connection:
                if connection.dialect.name == "sqlite":
                    connection.exec_driver_sql(_BEGIN)
                yield connection
            return
        # SQLite itself looks again and again, at longer and longer intervals, whether another is
        # done; so threads of ours wait here.
        connection = writers.take(BUSY_SECONDS)
        try:
            statements.run(connection, _BEGIN)
            yield connection
            statements.commit(connection)
        finally:
            writers.give_back(connection)


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Run the block on a connection that only reads, and never waits for one that writes.

    Each statement sees what was committed before it, also in SQLite: a transaction around the one
    statement that most questions are would take longer than the statement.

    :raises espm.errors.BackendUnavailable: the database is away or broken.
    """
    readers: Few | None = engine.get_execution_options().get(_READERS)
    with translating:
        if readers is None:
            with engine.connect() as connection:
                yield connection
            return
        connection = readers.take(BUSY_SECONDS)
        try:
            yield connection
        finally:
            readers.give_back(connection)


def _unavailable(error: BaseException) -> BaseException:
    if isinstance(error, IntegrityError):
        return error
    return BackendUnavailable("espm's ledger is not available; try again later")


#: A block that turns the database's failures into espm's words:
#: :class:`~espm.errors.BackendUnavailable` for everything but a violated constraint.
translating = Raising((DBAPIError, PoolTimeout, TimeoutError), _unavailable)


def _explained(error: BaseException) -> BaseException:
    cause = getattr(error.__cause__, "orig", None) or error.__cause__
    if cause is None:
        return error
    return BackendUnavailable(f"espm's ledger is not available: {' '.join(str(cause).split())}")


#: A block around the opening of a ledger, which says what the database says: that is read by who
#: starts espm, never by who calls it.
explaining = Raising((BackendUnavailable,), _explained)


def is_duplicate(error: IntegrityError) -> bool:
    """Return whether *error* says that a unique index has such a row already."""
    cause = error.orig
    names = {getattr(cause, "sqlstate", None), getattr(cause, "sqlite_errorname", None)}
    # unique_violation of PostgreSQL (Appendix A of its manual), and SQLite's own name for it.
    return not names.isdisjoint({"23505", "SQLITE_CONSTRAINT_UNIQUE"})


def _connect_sqlite(url: sa.URL, options: dict[str, Any]) -> sa.Engine:
    if not database_file(url).exists():
        msg = (
            "there is no ledger in the place that [ledger] url names: put back the one that was "
            "there, or, for a new and empty one, run espm_setup --upgrade"
        )
        raise MigrationNeeded(msg)
    # By their names: what has them in an order would have to be brought into it (statements).
    engine = sa.create_engine(url, paramstyle="named", **(options or {"poolclass": NullPool}))
    sa.event.listen(engine, "connect", _set_up_sqlite)
    if not options:
        _keep(engine)
    return engine


def _keep(engine: sa.Engine) -> None:
    kept = {_WRITERS: Few(engine, _WRITING), _READERS: Few(engine, _READING)}
    engine.update_execution_options(**kept)

    def end(_engine: sa.Engine) -> None:
        for each in kept.values():
            each.close()

    sa.event.listen(engine, "engine_disposed", end)


def _set_up_sqlite(dbapi: DBAPIConnection, _record: object) -> None:
    # None keeps Python's sqlite3 from opening transactions of its own.
    dbapi.isolation_level = None
    for pragma in _PRAGMAS:
        dbapi.execute(pragma).close()


def _connect_postgresql(url: sa.URL, options: dict[str, Any]) -> sa.Engine:
    url = url.update_query_dict({**_PATIENCE, "application_name": "espm", **url.query})
    options = {"isolation_level": "READ COMMITTED", **(options or _POOL)}
    try:
        engine = sa.create_engine(url, pool_pre_ping=True, **options)
    except ImportError as exc:
        msg = (
            "[ledger] url: psycopg is not installed; run in espm's environment: "
            "pip install 'psycopg[binary]>=3.2,<4'"
        )
        raise ConfigError([msg]) from exc
    sa.event.listen(engine, "connect", _set_up_postgresql)
    return engine


def _set_up_postgresql(dbapi: DBAPIConnection, _record: object) -> None:
    for statement in _SESSION:
        dbapi.execute(statement)
    dbapi.commit()
