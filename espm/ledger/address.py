"""The ledger's URL: which databases espm can use, and what is wrong with a URL that names none."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from espm.errors import ConfigError

_REMEDY = (
    "write sqlite:////absolute/path/ledger.db or postgresql+psycopg://user:password@host/database"
)


def parse(url: str) -> sa.URL:
    """Return *url* checked and with its driver spelt out.

    :raises espm.errors.ConfigError: it names no database that espm can use.  The message never
        repeats the URL, for that may hold a password.
    """
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError) as exc:
        raise _refusal("this is not a database URL") from exc  # noqa: EM101, TRY003 - no exception
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if fault := _fault(parsed):
        raise _refusal(fault)
    return parsed


def database_file(url: sa.URL) -> Path:
    """Return the file that holds the SQLite database of *url*."""
    return Path(url.database or "")


def _refusal(fault: str) -> ConfigError:
    return ConfigError([f"[ledger] url: {fault}; {_REMEDY}"])


def _fault(url: sa.URL) -> str | None:
    if url.drivername == "sqlite":
        return _sqlite_fault(url)
    if url.drivername != "postgresql+psycopg":
        return f"'{url.drivername}' is not supported"
    return None if url.database else "it names no database"


def _sqlite_fault(url: sa.URL) -> str | None:
    if not url.database or url.database == ":memory:":
        return "a ledger in memory would forget everything"
    if url.query or url.host or url.database.startswith("file:"):
        return "a SQLite URL holds the path of a file and nothing else"
    if not database_file(url).is_absolute():
        return "the path of the database is not absolute"
    if not database_file(url).parent.is_dir():
        return "the directory of the database does not exist"
    return None
