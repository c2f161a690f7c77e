"""What the ledger does when its database, or the one who runs it, is in trouble."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from espm.errors import BackendUnavailable, NodeBusy, VersionMismatch
from espm.ledger import current, lock, open_ledger, upgrade
from espm.ledger.engine import writing
from espm.model import Certname, Classification, IntentKind, NodeState
from tests.contract.lives import PLAIN, WEB, active, begin, hear, race, reserve

if TYPE_CHECKING:
    from espm.ledger import SqlLedger

_DYING = """
import os, sys
from espm.ledger import claims, open_ledger
from espm.model import Certname, Classification

def stop(*_args, **_named):
    print("inside", flush=True)
    sys.stdin.read()

claims.insert = stop
with open_ledger(sys.argv[1]) as ledger:
    ledger.reserve(Certname("web.example.com"), "cloud", Classification(), request_id="r")
"""


def counted(url: str) -> list[int]:
    """Return how many nodes, certificates and intents there are, looking past espm."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        tables = ("nodes", "certificates", "intents")
        counts = [
            connection.execute(sa.select(sa.func.count()).select_from(sa.table(table))).scalar_one()
            for table in tables
        ]
    engine.dispose()
    return counts


def test_death_inside_a_transaction_leaves_nothing(url: str) -> None:
    """Kill -9 between the node's row and its intent's: neither is there, and the name is free."""
    with subprocess.Popen(
        [sys.executable, "-c", _DYING, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "inside\n"
        os.kill(process.pid, signal.SIGKILL)

    assert counted(url) == [0, 0, 0]
    with open_ledger(url) as ledger:
        assert reserve(ledger)[0].state is NodeState.ADDING


def test_an_error_inside_a_transaction_leaves_nothing(
    ledger: SqlLedger, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug is no reason for half a row."""
    monkeypatch.setattr("espm.ledger.claims.insert", lambda *_args, **_named: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        reserve(ledger)
    assert counted(url) == [0, 0, 0]


def test_an_expired_claim_counts_as_left(url: str) -> None:
    """A lease that ran out lets another have the intent, and the former has no say any more."""
    with open_ledger(url, lease=0) as former, open_ledger(url) as latter:
        _, intent = reserve(former)
        [(_, claimed)] = latter.claim_due()

        assert (claimed.ident, claimed.attempts) == (intent.ident, 1)
        assert claimed.last_error == "espm stopped while it worked on this"
        with pytest.raises(NodeBusy):
            former.activate(intent)
        assert latter.activate(claimed).state is NodeState.ACTIVE


def test_an_expired_claim_can_be_retaken_by_the_same_espm_once(url: str) -> None:
    """The thread that outlived its lease is shut out, even by a thread of its own process."""
    with open_ledger(url, lease=0) as ledger:
        _, intent = reserve(ledger)
        [(_, claimed)] = ledger.claim_due()

        with pytest.raises(NodeBusy):
            ledger.condemn(intent)
        assert ledger.condemn(claimed).state is NodeState.DELETING


def test_an_expired_claim_does_not_stop_a_deletion(url: str) -> None:
    """What nobody works on is superseded."""
    with open_ledger(url, lease=0) as ledger:
        node, intent = reserve(ledger)
        ledger.bury(begin(ledger, node, IntentKind.DELETE))
        ledger.close(intent)

        assert ledger.was_deleted("cloud", WEB)


def test_claims_of_the_dead_are_left_at_once(url: str) -> None:
    """Who holds the lock need not wait for leases of others; its own claims stand."""
    with lock(url), open_ledger(url) as dead, open_ledger(url) as alive:
        _, orphan = reserve(dead, "orphan")
        reserve(alive, "own")
        assert list(alive.claim_due()) == []

        assert alive.orphan() == 1
        assert alive.orphan() == 0

        [(_, claimed)] = alive.claim_due()
        assert (claimed.ident, claimed.attempts) == (orphan.ident, 1)


def test_who_opens_a_ledger_is_told_what_the_database_says(postgres_url: str) -> None:
    """As of a password that is missing, or a database."""
    nowhere = postgres_url.replace("@/", "@/nowhere_")

    for opening in (open_ledger, current, upgrade):
        with pytest.raises(
            BackendUnavailable, match=r'database "nowhere_\w+" does not exist'
        ) as it:
            opening(nowhere)
        assert "\n" not in str(it.value)


def test_who_opens_what_is_no_database_is_told_so(tmp_path: Path) -> None:
    """A file that is something else, or was damaged."""
    (tmp_path / "ledger.db").write_bytes(b"something else, and long enough " * 64)

    with pytest.raises(BackendUnavailable, match="file is not a database"):
        open_ledger(f"sqlite:///{tmp_path}/ledger.db")


def test_a_full_disk_is_unavailable_and_leaves_nothing(sqlite_url: str) -> None:
    """A transaction that does not fit never happened; when there is room again it works."""
    with open_ledger(sqlite_url) as ledger:
        active(ledger)
        before = counted(sqlite_url)
        huge = Classification(parameters={"text": "x" * 10_000_000})
        limit = "PRAGMA max_page_count = 100"
        sa.event.listen(ledger._engine, "connect", lambda c, _: c.execute(limit).close())
        ledger._engine.dispose()

        with pytest.raises(BackendUnavailable) as caught:
            ledger.reserve(Certname("big"), "cloud", huge, request_id="r")

        assert str(caught.value.__cause__.__cause__) == "database or disk is full"  # type: ignore[union-attr]
        assert str(caught.value) == "espm's ledger is not available; try again later"
        assert counted(sqlite_url) == before
        assert reserve(ledger, "small")[0].state is NodeState.ADDING


def test_a_locked_database_is_unavailable(sqlite_url: str, tmp_path: Path) -> None:
    """Writing waits for a while and gives up; reading does not wait at all."""
    with (
        open_ledger(sqlite_url) as ledger,
        closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other,
    ):
        node = active(ledger)
        hasty = "PRAGMA busy_timeout = 1"
        sa.event.listen(ledger._engine, "connect", lambda c, _: c.execute(hasty).close())
        ledger._engine.dispose()
        other.execute("BEGIN IMMEDIATE")

        for write in (lambda: reserve(ledger, "b"), ledger.ping):
            with pytest.raises(BackendUnavailable):
                write()
        assert ledger.node("cloud", WEB) == node


def test_a_broken_database_is_unavailable(tmp_path: Path) -> None:
    """A file that is no database is not espm's bug."""
    (tmp_path / "ledger.db").write_bytes(b"this is no database" * 100)

    with pytest.raises(BackendUnavailable):
        open_ledger(f"sqlite:///{tmp_path}/ledger.db")


@pytest.mark.postgresql
def test_a_server_that_is_away_is_unavailable(tmp_path: Path) -> None:
    """Every way into the ledger says so."""
    away = f"postgresql+psycopg://espm@/espm?host={tmp_path}"

    for step in (open_ledger, lock, upgrade, current):
        with pytest.raises(BackendUnavailable):
            step(away)


@pytest.mark.postgresql
def test_a_server_that_comes_back_is_used_again(postgres_url: str) -> None:
    """Connections that the server closed are replaced before anybody notices."""
    with open_ledger(postgres_url) as ledger:
        ledger.ping()
        other = sa.create_engine(postgres_url)
        with other.connect() as connection:
            connection.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE application_name = 'espm'"
                )
            )
        other.dispose()

        ledger.ping()


@pytest.mark.postgresql
def test_a_connection_lost_inside_a_transaction_is_unavailable(postgres_url: str) -> None:
    """What was not committed never happened."""
    with open_ledger(postgres_url) as ledger:
        with pytest.raises(BackendUnavailable), writing(ledger._engine) as connection:
            connection.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
        ledger.ping()


def test_many_threads_lose_no_change(ledger: SqlLedger) -> None:
    """Eight threads that read and change one node: each version is made by exactly one."""
    active(ledger)

    def change() -> int:
        done = 0
        for _attempt in range(5000):
            node = ledger.node("cloud", WEB)
            with suppress(NodeBusy, VersionMismatch):  # Somebody was faster.
                intent = begin(ledger, node, IntentKind.CHANGE)
                ledger.change(intent, PLAIN, node.version + 1)
                done += 1
            if done == 5:
                break
        return done

    assert race(*[change] * 8) == [5] * 8
    assert ledger.node("cloud", WEB).version == 41


def test_a_question_is_one_statement(ledger: SqlLedger) -> None:
    """Whoever only asks opens no transaction around it."""
    active(ledger)
    with hear(ledger) as said:
        ledger.node("cloud", WEB)

    assert len(said) == 1, said


def test_who_waits_too_long_for_its_turn_is_told(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that never ends keeps no other waiting without end; then all goes on."""
    monkeypatch.setattr("espm.ledger.engine.BUSY_SECONDS", 0.05)
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with writing(ledger._engine):
            held.set()
            over.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    try:
        if ledger._engine.dialect.name == "sqlite":
            with pytest.raises(BackendUnavailable):
                ledger.ping()
    finally:
        over.set()
        holder.join()

    ledger.ping()
