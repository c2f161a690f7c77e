"""How the ledger sets up its database, and what it says of a URL that names none."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import sqlalchemy as sa

from espm.errors import ConfigError
from espm.ledger import current, lock, open_ledger, upgrade
from espm.ledger.engine import reading


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("PRAGMA journal_mode", "wal"),
        ("PRAGMA synchronous", 2),
        ("PRAGMA foreign_keys", 1),
        ("PRAGMA busy_timeout", 30000),
        ("PRAGMA trusted_schema", 0),
        ("PRAGMA cache_size", -256),
    ],
)
def test_sqlite_is_set_up(sqlite_url: str, statement: str, expected: object) -> None:
    """Commits are on the disk, constraints hold, and waiting has a bound."""
    with open_ledger(sqlite_url) as ledger, reading(ledger._engine) as connection:
        assert connection.execute(sa.text(statement)).scalar() == expected


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("synchronous_commit", "on"),
        ("statement_timeout", "30s"),
        ("lock_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "1min"),
        ("transaction_isolation", "read committed"),
        ("application_name", "espm"),
    ],
)
def test_postgresql_is_set_up(postgres_url: str, setting: str, expected: str) -> None:
    """Commits are on the disk, whatever the database's default, and waiting has a bound."""
    careless = sa.create_engine(postgres_url)
    with careless.begin() as connection:
        name = sa.make_url(postgres_url).database
        connection.execute(sa.text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
    careless.dispose()

    with open_ledger(postgres_url) as ledger, reading(ledger._engine) as connection:
        assert connection.execute(sa.text(f"SHOW {setting}")).scalar() == expected


@pytest.mark.postgresql
def test_a_postgresql_whose_host_vanishes_is_given_up(postgres_url: str) -> None:
    """The kernel is told to wait for no more than half a minute, sent or not."""
    with open_ledger(postgres_url) as ledger, reading(ledger._engine) as connection:
        driver: Any = connection.connection.dbapi_connection
        given = {key: int(value) for key, value in driver.info.get_parameters().items()
                 if value.isdecimal()}  # fmt: skip

    asked = given["keepalives_interval"] * given["keepalives_count"]
    assert given["keepalives_idle"] + asked == 30
    assert given["tcp_user_timeout"] == 30_000


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("", "not a database URL"),
        ("nonsense", "not a database URL"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:///ledger.db", "not absolute"),
        ("sqlite:////nonexistent/ledger.db", "directory of the database does not exist"),
        ("sqlite:////tmp/ledger.db?mode=ro", "path of a file and nothing else"),
        ("sqlite:///file:/tmp/ledger.db", "path of a file and nothing else"),
        ("postgres://u:secret@host/db", "'postgres' is not supported"),
        ("postgresql+psycopg2://u:secret@host/db", "'postgresql+psycopg2' is not supported"),
        ("postgresql+psycopg://u:secret@host", "names no database"),
        ("postgresql+psycopg://u:secret@host:port/db", "not a database URL"),
        ("mysql://u:secret@host/db", "'mysql' is not supported"),
    ],
)
def test_a_wrong_url_is_a_fault_of_the_configuration(bad: str, said: str) -> None:
    """The message says what is wrong and what to write, never the URL, which holds a password."""
    for step in (open_ledger, lock, upgrade, current):
        with pytest.raises(ConfigError) as caught:
            step(bad)

        assert said in str(caught.value)
        assert "write sqlite:////" in str(caught.value)
        assert "secret" not in str(caught.value)


@pytest.mark.postgresql
def test_the_driver_may_be_left_out_of_the_url(postgres_url: str) -> None:
    """A bare postgresql:// means psycopg 3 with every release of SQLAlchemy."""
    with open_ledger(postgres_url.replace("+psycopg", "")) as ledger:
        ledger.ping()


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which extra to install."""
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(ConfigError, match=r"pip install 'psycopg\[binary\]"):
        open_ledger("postgresql+psycopg://espm@/espm")
