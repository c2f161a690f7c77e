"""A daemon whose database lost its lock: it takes it anew, or ends where another espm has it."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg
import pytest

from espm import ledger
from espm.errors import LedgerLocked
from espm.exits import Exit
from tests.api.process import Daemon, Site, site_with_puppet
from tests.api.wire import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from espm.ledger import LedgerLock
    from tests.postgres import Postgres

pytestmark = pytest.mark.postgresql


@contextmanager
def served(directory: Path, url: str) -> Iterator[tuple[Site, Daemon]]:
    """Have a daemon on the ledger at *url*, and a Puppet beside it."""
    with site_with_puppet(directory) as (site, _):
        site.sample.set("ledger", url=url)
        site.sample.write()
        with site.serving() as running:
            yield site, running


def locks(url: str, what: str) -> int:
    """Return how many sessions hold the lock, having asked *what* of each."""
    query = (
        f"SELECT {what} FROM pg_locks WHERE locktype = 'advisory' AND granted "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with closing(psycopg.connect(url.replace("+psycopg", ""), autocommit=True)) as connection:
        return len(connection.execute(query).fetchall())


def drop_the_lock(url: str) -> None:
    """End the session that holds it, as a server does that is started anew."""
    locks(url, "pg_terminate_backend(pid)")


@pytest.fixture
def ledger_url(postgres: Postgres) -> str:
    """Return the URL of a ledger that no other test has."""
    url = postgres.new_database()
    ledger.upgrade(url)
    return url


def take_over(url: str) -> LedgerLock:
    """Take the lock in the moment in which nobody has it."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        drop_the_lock(url)
        with suppress(LedgerLocked):
            return ledger.lock(url)
    raise TimeoutError


def test_an_espm_ends_when_another_has_taken_its_ledger(ledger_url: str, tmp_path: Path) -> None:
    """Two that revoke side by side would lose revocations; nobody has to ask for readiness."""
    with served(tmp_path, ledger_url) as (_, running), take_over(ledger_url):
        assert running.ended() == Exit.LOCKED
        assert "another espm works on this ledger" in running.err.text


def test_a_lock_that_the_database_lost_is_taken_anew(ledger_url: str, tmp_path: Path) -> None:
    """Before another espm comes, and without anybody's asking."""
    with served(tmp_path, ledger_url) as (site, running):
        drop_the_lock(ledger_url)
        assert wait_until(lambda: locks(ledger_url, "pid") == 1, 20)
        with pytest.raises(LedgerLocked):
            ledger.lock(ledger_url)
        assert site.client().add("web1.example.com").status_code == 201
        assert running.process.poll() is None


def test_a_lock_that_another_has_taken_stays_lost(ledger_url: str) -> None:
    """However often and by whomever it is asked for, until the other one lets go."""
    with ledger.lock(ledger_url) as ours:
        with take_over(ledger_url):
            for _ in range(2):
                with pytest.raises(LedgerLocked):
                    ours.confirm()
        ours.confirm()
        with pytest.raises(LedgerLocked):
            ledger.lock(ledger_url)
