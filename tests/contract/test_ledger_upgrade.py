"""The ledger's schema: made, recognized, compared and saved."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from espm.errors import (
    BackendRefused,
    BackendUnavailable,
    ConfigError,
    LedgerLocked,
    MigrationNeeded,
    NodeBusy,
)
from espm.ledger import backup, current, lock, open_ledger, scripts, upgrade
from espm.ledger.indexes import metadata
from espm.ledger.schema import REVISION, nodes
from espm.model import NodeState
from tests.contract.lives import WEB, active, connected, make_older, reserve

if TYPE_CHECKING:
    from pathlib import Path

# What PostgreSQL holds of indexes and constraints, conditions and collations included.
_POSTGRESQL = """
SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
UNION ALL SELECT conname || ' ' || pg_get_constraintdef(c.oid)
  FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
  WHERE connamespace = 'public'::regnamespace AND relname <> 'alembic_version'
UNION ALL SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, collation_name,
  character_maximum_length, column_default)
  FROM information_schema.columns
  WHERE table_schema = 'public' AND table_name <> 'alembic_version'
ORDER BY 1
"""
_SQLITE = "SELECT type, name, tbl_name FROM sqlite_master WHERE tbl_name <> 'alembic_version'"
_SQLITE_DDL = "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY 1"


def described(connection: sa.Connection) -> list[Any]:
    """Return all that the database knows of its schema."""
    if connection.dialect.name == "postgresql":
        return list(connection.execute(sa.text(_POSTGRESQL)))
    found = [*connection.execute(sa.text(_SQLITE)), *connection.execute(sa.text(_SQLITE_DDL))]
    for table in metadata.tables:
        found += connection.execute(sa.text(f"PRAGMA table_xinfo({table})"))
        found += connection.execute(sa.text(f"PRAGMA foreign_key_list({table})"))
        found += sorted(
            (check["name"], check["sqltext"])
            for check in sa.inspect(connection).get_check_constraints(table)
        )
    return sorted(map(str, found))


def set_revision(url: str, revision: str) -> None:
    """Pretend that another espm upgraded the ledger."""
    with connected(url) as connection:
        connection.execute(sa.text(f"UPDATE alembic_version SET version_num = '{revision}'"))


def test_an_empty_database_becomes_a_ledger(empty_url: str) -> None:
    """Upgrading creates everything, may be repeated, and keeps what is there."""
    assert current(empty_url) is None
    upgrade(empty_url)
    with open_ledger(empty_url) as ledger:
        active(ledger)
        ledger.ping()

    upgrade(empty_url)

    assert current(empty_url) == REVISION
    with open_ledger(empty_url) as ledger:
        assert ledger.node("cloud", WEB).certname == WEB


def test_the_migrations_make_what_the_tables_say(empty_url: str) -> None:
    """Neither Alembic's comparison nor the database itself sees a difference."""
    upgrade(empty_url)
    with connected(empty_url) as connection:
        options = {"compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
        migrated = described(connection)
        metadata.drop_all(connection)
        metadata.create_all(connection)
        assert described(connection) == migrated


def test_lives_that_were_over_are_over_after_an_upgrade(empty_url: str) -> None:
    """The schema before 0006 told by the state alone; its names are taken and free as they were."""
    make_older(empty_url, "0005", "undone", "deleted", "deleting")

    upgrade(empty_url)

    with open_ledger(empty_url) as ledger:
        node = ledger.node("cloud", WEB)
        assert node.state is NodeState.DELETING
        with pytest.raises(NodeBusy):
            reserve(ledger, WEB)
    with connected(empty_url) as connection:
        rows = connection.execute(sa.select(nodes.c.ended_at).order_by(nodes.c.generation))
        ends = [end and end.second for (end,) in rows]
    assert ends == [20, 21, None]


def test_an_empty_ledger_is_not_opened(empty_url: str) -> None:
    """The message says what to run."""
    with pytest.raises(MigrationNeeded, match="run espm_setup --upgrade"):
        open_ledger(empty_url)


def test_a_database_without_tables_is_not_opened(tmp_path: Path) -> None:
    """An empty file is as good as none."""
    (tmp_path / "ledger.db").touch()

    with pytest.raises(MigrationNeeded, match=r"is empty.*run espm_setup --upgrade"):
        open_ledger(f"sqlite:///{tmp_path}/ledger.db")


def test_the_schema_is_the_newest_that_migrations_make() -> None:
    """The revision by which a start knows its own schema is the last of Alembic's."""
    assert scripts.head() == REVISION


def test_an_older_ledger_is_not_opened(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what the ledger has, what espm wants, and what to run."""
    monkeypatch.setattr("espm.ledger.upgrades.REVISION", "9999")

    with pytest.raises(
        MigrationNeeded, match=rf"has schema {REVISION}.*with 9999.*espm_setup --upgrade"
    ):
        open_ledger(url)


def test_a_newer_ledger_is_neither_opened_nor_upgraded(url: str) -> None:
    """An old espm leaves a new ledger alone and says so."""
    set_revision(url, "9999")
    try:
        for step in (open_ledger, upgrade):
            with pytest.raises(MigrationNeeded, match="schema 9999, which is newer than this espm"):
                step(url)
        assert current(url) == "9999"
    finally:
        set_revision(url, REVISION)


def test_nothing_is_upgraded_under_a_running_espm(url: str) -> None:
    """An upgrade needs the ledger for itself."""
    with lock(url), pytest.raises(LedgerLocked):
        upgrade(url)


def test_an_upgrade_takes_the_time_that_its_rows_take(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes over all of history is not cut off as a launch would be; a lock's wait still is."""
    limits: list[str] = []

    def look(connection: sa.Connection) -> None:
        shown = [sa.text(f"SHOW {name}") for name in ("statement_timeout", "lock_timeout")]
        limits.extend(str(connection.execute(show).scalar()) for show in shown)

    monkeypatch.setattr(scripts, "run", look)
    upgrade(postgres_url)

    assert limits == ["0", "30s"]


def test_an_upgrade_that_fails_leaves_nothing(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it is one transaction, on SQLite too; whoever upgrades reads why."""
    cause = sqlite3.OperationalError("disk I/O error")

    def broken(*_args: object) -> None:
        raise sa.exc.OperationalError(None, None, cause)

    with monkeypatch.context() as patched:
        patched.setattr("alembic.op.bulk_insert", broken)
        with pytest.raises(BackendUnavailable, match="disk I/O error"):
            upgrade(empty_url)

    assert current(empty_url) is None
    with connected(empty_url) as connection:
        assert sa.inspect(connection).get_table_names() == []


def test_a_new_database_is_for_nobody_else(tmp_path: Path) -> None:
    """The database and its log have mode 0600."""
    url = f"sqlite:///{tmp_path}/new.db"
    upgrade(url)
    with open_ledger(url) as ledger:
        active(ledger)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}

    names = ["new.db", "new.db-shm", "new.db-wal", "new.db.lock"]
    assert modes == dict.fromkeys(names, 0o600)


def test_a_backup_is_a_whole_ledger(sqlite_url: str, tmp_path: Path) -> None:
    """It is taken while the ledger is open, has mode 0600, and can be opened in its place."""
    saved = tmp_path / "saved.db"
    with open_ledger(sqlite_url) as ledger:
        active(ledger)
        backup(sqlite_url, saved)
        active(ledger, "later")

    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    with open_ledger(f"sqlite:///{saved}") as restored:
        assert [node.certname for node in restored.nodes()] == [WEB]
    with closing(sqlite3.connect(saved)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_backup_overwrites_nothing(sqlite_url: str, tmp_path: Path) -> None:
    """Neither a file nor a link that leads elsewhere."""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")

    for name in ("precious", "link", "missing/file"):
        with pytest.raises(ConfigError, match="a backup needs a new file"):
            backup(sqlite_url, tmp_path / name)
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "elsewhere").exists()


def test_a_backup_that_fails_leaves_no_file(tmp_path: Path) -> None:
    """Half a backup is worse than none."""
    (tmp_path / "ledger.db").write_bytes(b"this is no database" * 100)

    with pytest.raises(BackendUnavailable):
        backup(f"sqlite:///{tmp_path}/ledger.db", tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_there_must_be_a_ledger_to_back_up(tmp_path: Path) -> None:
    """A backup of nothing is refused."""
    with pytest.raises(ConfigError, match="no ledger"):
        backup(f"sqlite:///{tmp_path}/ledger.db", tmp_path / "saved")


def test_postgresql_is_backed_up_by_its_own_tool(tmp_path: Path) -> None:
    """The message names it."""
    with pytest.raises(BackendRefused, match="pg_dump"):
        backup("postgresql+psycopg://espm@/espm", tmp_path / "saved")
