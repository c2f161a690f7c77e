"""Statements that SQLite's driver runs by itself behave as those that SQLAlchemy runs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
import sqlalchemy as sa

from espm.errors import BackendUnavailable
from espm.ledger import open_ledger
from espm.ledger.engine import reading, writing
from espm.ledger.schema import nodes
from espm.ledger.statements import Statement
from tests.contract.lives import WEB, active, delete, race

if TYPE_CHECKING:
    from pathlib import Path

    from espm.ledger import SqlLedger

_ALL = sa.select(nodes).where(nodes.c.certname == sa.bindparam("name"))
_AT = datetime(2026, 11, 27, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=2)))
_FORGOTTEN = (sa.exc.StatementError, sa.exc.InvalidRequestError)
_ROW = {
    "certname": WEB,
    "platform": "cloud",
    "state": "active",
    "version": 1,
    "classification": "{}",
    "created_at": _AT,
    "updated_at": _AT,
}


def test_values_go_in_and_come_out_as_with_sqlalchemy(ledger: SqlLedger) -> None:
    """Also those that the database has no type for: a moment of another zone comes back in UTC."""
    insert = Statement(nodes.insert().returning(nodes.c.generation, nodes.c.created_at))
    with writing(ledger._engine) as connection:
        found = insert.first(connection, _ROW)
        assert found is not None
        assert found[1] == _AT
        assert found[1].tzinfo is UTC
        ours = Statement(_ALL).first(connection, {"name": WEB})
        theirs = connection.execute(_ALL, {"name": WEB}).one()
        assert ours is not None
        assert tuple(ours) == tuple(theirs)
        assert Statement(_ALL).first(connection, {"name": "other"}) is None


def test_what_is_set_is_what_the_names_say(ledger: SqlLedger) -> None:
    """One statement serves updates of different columns, each with its own text."""
    active(ledger)
    update = Statement(nodes.update().where(nodes.c.certname == sa.bindparam("name")))
    with writing(ledger._engine) as connection:
        assert update.changed(connection, {"name": WEB, "state": "deleting"}) == 1
        assert update.changed(connection, {"name": WEB, "platform": "other"}) == 1
        assert update.changed(connection, {"name": "other", "platform": "other"}) == 0
        row = connection.execute(_ALL, {"name": WEB}).one()
        assert (row.state, row.platform) == ("deleting", "other")


def test_it_is_run_for_each_of_many(ledger: SqlLedger) -> None:
    """All of them, in one go."""
    many = [_ROW | {"certname": f"n{number}"} for number in range(3)]
    with writing(ledger._engine) as connection:
        Statement(nodes.insert()).each(connection, many)
        found = connection.execute(sa.select(nodes.c.certname).order_by(nodes.c.certname))
        assert list(found.scalars()) == ["n0", "n1", "n2"]


def test_its_errors_are_those_of_sqlalchemy(ledger: SqlLedger) -> None:
    """What a constraint forbids is told from what the database can't do."""
    insert = Statement(nodes.insert())
    with pytest.raises(sa.exc.IntegrityError), writing(ledger._engine) as connection:
        insert.each(connection, [_ROW, _ROW])
    with pytest.raises(sa.exc.IntegrityError), writing(ledger._engine) as connection:
        insert.changed(connection, _ROW | {"version": 0})

    gone = sa.table("gone", sa.column("name"))
    with pytest.raises(BackendUnavailable), reading(ledger._engine) as connection:
        Statement(sa.select(gone)).rows(connection, {})


def test_what_a_block_began_and_did_not_end_is_not_there_for_the_next(ledger: SqlLedger) -> None:
    """The connection is the same one, its transaction is another."""
    insert, broken = Statement(nodes.insert()), RuntimeError("on the way")
    with suppress(RuntimeError), writing(ledger._engine) as connection:
        insert.changed(connection, _ROW)
        raise broken
    with suppress(RuntimeError), writing(ledger._engine) as connection:
        insert.changed(connection, _ROW)
        connection.execute(nodes.insert(), _ROW | {"certname": "other"})
        raise broken

    with writing(ledger._engine) as connection:
        assert connection.execute(sa.select(nodes)).all() == []


def test_what_fails_while_it_is_fetched_is_told_as_well(sqlite_url: str) -> None:
    """Text that is no UTF-8 is read only when its row is fetched."""
    with open_ledger(sqlite_url) as ledger:
        active(ledger)
        with writing(ledger._engine) as connection:
            connection.exec_driver_sql("UPDATE nodes SET classification = CAST(X'ff' AS TEXT)")
        with pytest.raises(BackendUnavailable):
            ledger.node("cloud", WEB)


def test_a_parameter_that_is_missing_is_no_null(ledger: SqlLedger) -> None:
    """Somebody forgot it, and must hear of that."""
    with pytest.raises(_FORGOTTEN), reading(ledger._engine) as connection:
        Statement(_ALL).rows(connection, {})


def test_a_value_that_is_always_the_same_is_one_of_the_databases(ledger: SqlLedger) -> None:
    """A moment that stands in the statement itself is converted like one that is given."""
    fixed = Statement(sa.select(nodes.c.certname).where(nodes.c.created_at == _AT))
    with writing(ledger._engine) as connection:
        Statement(nodes.insert()).changed(connection, _ROW)
        assert [row[0] for row in fixed.rows(connection, {})] == [WEB]


def test_who_waits_to_read_gets_the_first_that_is_free(sqlite_url: str) -> None:
    """Whichever of the two that is: one who reads for long keeps nobody waiting."""
    with open_ledger(sqlite_url) as ledger, ExitStack() as short:
        active(ledger)
        with reading(ledger._engine):
            short.enter_context(reading(ledger._engine))
            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(ledger.node, "cloud", WEB)
                with pytest.raises(TimeoutError):
                    waiting.result(timeout=0.1)
                short.close()
                assert waiting.result(timeout=5).certname == WEB


def test_nobody_waits_without_end(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for a connection that others read on for ever."""
    monkeypatch.setattr("espm.ledger.engine.BUSY_SECONDS", 0.05)
    with open_ledger(sqlite_url) as ledger, reading(ledger._engine), reading(ledger._engine):
        with pytest.raises(BackendUnavailable):
            ledger.node("cloud", WEB)
        assert active(ledger).certname == WEB


def test_a_connection_that_could_not_be_made_takes_no_place(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next who writes has it, once there is one again."""
    monkeypatch.setattr("espm.ledger.engine.BUSY_SECONDS", 0.05)
    with open_ledger(sqlite_url) as ledger:
        ledger._engine.dispose()
        with patch.object(ledger._engine, "connect", side_effect=TimeoutError):
            for _ in range(3):
                with pytest.raises(BackendUnavailable):
                    active(ledger)
        assert active(ledger).certname == WEB


def test_what_is_closed_while_somebody_has_it_is_closed_then(
    sqlite_url: str, tmp_path: Path
) -> None:
    """The log goes into the database when the last one is given back."""
    with open_ledger(sqlite_url) as ledger:
        with writing(ledger._engine) as connection:
            Statement(nodes.insert()).changed(connection, _ROW)
            ledger.disconnect()
            assert [*tmp_path.glob("*-wal")]
        assert not [*tmp_path.glob("*-wal")]
        with reading(ledger._engine) as again:
            assert Statement(_ALL).first(again, {"name": WEB}) is not None


def test_writing_takes_the_lock_at_once(sqlite_url: str) -> None:
    """Not only when it writes: it would fail then if another has written since it read."""
    engine = sa.create_engine(sqlite_url, connect_args={"timeout": 0.01})
    with (
        open_ledger(sqlite_url) as ledger,
        engine.connect() as hasty,
        writing(ledger._engine),
        pytest.raises(sa.exc.OperationalError, match="locked"),
    ):
        hasty.execute(nodes.insert(), _ROW)
    engine.dispose()


def test_who_reads_while_another_reads_has_a_connection_too(sqlite_url: str) -> None:
    """Both see the same, and the last one that was used is used again."""
    with open_ledger(sqlite_url) as ledger:
        active(ledger)
        with reading(ledger._engine) as first, reading(ledger._engine) as second:
            assert first is not second
            assert second.execute(sa.select(nodes.c.certname)).scalars().all() == [WEB]
        with reading(ledger._engine) as again:
            assert again is first  # For it was given back last.


def test_a_connection_that_broke_is_replaced(sqlite_url: str) -> None:
    """It fails once; whoever comes next gets a new one."""
    with open_ledger(sqlite_url) as ledger:
        with pytest.raises(BackendUnavailable), writing(ledger._engine) as connection:
            connection.connection.driver_connection.close()  # type: ignore[union-attr]
        assert active(ledger).certname == WEB


def test_disconnected_nothing_is_left_open(sqlite_url: str, tmp_path: Path) -> None:
    """The kept ones are closed as well, so that the last one puts the log into the database."""
    with open_ledger(sqlite_url) as ledger:
        active(ledger)
        ledger.node("cloud", WEB)
        assert [*tmp_path.glob("*-wal")]
    assert not [*tmp_path.glob("*-wal")]


def test_a_kept_connection_sees_what_another_did(sqlite_url: str) -> None:
    """It stays connected, and in no transaction."""
    with open_ledger(sqlite_url) as ledger, open_ledger(sqlite_url) as other:
        before = active(ledger)
        assert other.node("cloud", WEB) == before
        delete(ledger, before)
        after = active(ledger)
        assert other.node("cloud", WEB) == after


def test_writers_wait_for_each_other_and_none_is_lost(sqlite_url: str) -> None:
    """Threads take turns at the one connection that writes."""
    names = [f"n{number}" for number in range(40)]
    with open_ledger(sqlite_url) as ledger:
        race(*(partial(active, ledger, name) for name in names))
        assert sorted(node.certname for node in ledger.nodes()) == sorted(names)
