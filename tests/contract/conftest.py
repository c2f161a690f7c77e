"""Databases for the ledger's tests: SQLite, and a real PostgreSQL of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from espm.ledger import SqlLedger, open_ledger, upgrade
from tests import new_ledger
from tests.conftest import absent
from tests.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATABASES = [
    pytest.param("sqlite", id="sqlite"),
    pytest.param("postgresql", id="postgresql", marks=pytest.mark.postgresql),
]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Return a real PostgreSQL; a skip, with the reason, if this machine has none."""
    if why := Postgres.missing():
        absent(why)
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres: Postgres) -> str:
    """Return a PostgreSQL database with the ledger's schema, made once."""
    url = postgres.new_database()
    upgrade(url)
    return url


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Return the URL of an empty ledger on SQLite."""
    new_ledger.write(tmp_path / "ledger.db")
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty ledger with its schema."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("sqlite_url"))
    found: str = request.getfixturevalue("postgres_url")
    engine = sa.create_engine(found)
    with engine.begin() as connection:
        connection.execute(sa.text("TRUNCATE nodes, certificates, intents, replays, audit"))
        connection.execute(sa.text("UPDATE audit_head SET number = 0, hash = repeat('0', 64)"))
    engine.dispose()
    return found


@pytest.fixture
def ledger(url: str) -> Iterator[SqlLedger]:
    """Return an empty ledger, on each database in turn."""
    with open_ledger(url, instance="tests") as opened:
        yield opened
