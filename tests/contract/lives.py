"""Short words for the ledger's tests: lives of nodes, and threads that race."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
import sqlalchemy as sa
from alembic import command

from espm.errors import BackendUnavailable
from espm.ledger import scripts, statements
from espm.model import (
    Certname,
    Classification,
    IntentKind,
    Issued,
    Node,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from espm.ledger import SqlLedger
    from espm.model import Intent, OrderedKey
    from espm.ports import Ledger

WEB = Certname("web.example.com")
PLAIN = Classification()
KEY = "a1" * 32


def reserve(
    ledger: Ledger, name: str = WEB, platform: str = "cloud", key: OrderedKey | None = None
) -> tuple[Node, Intent]:
    """Begin the life of a node."""
    return ledger.reserve(Certname(name), platform, PLAIN, request_id="r-1", key=key)


def active(ledger: Ledger, name: str = WEB, platform: str = "cloud") -> Node:
    """Return an active node."""
    return ledger.activate(reserve(ledger, name, platform)[1])


def begin(ledger: Ledger, node: Node, kind: IntentKind) -> Intent:
    """Begin an operation on the node."""
    if kind is IntentKind.DELETE:
        return ledger.begin_deletion(node, request_id="r-2")[0]
    return ledger.begin(node, kind, request_id="r-2")


def delete(ledger: Ledger, node: Node) -> None:
    """End the life of a node."""
    ledger.bury(begin(ledger, node, IntentKind.DELETE))


def issued(key: str = KEY, serial: int = 2**160 - 1) -> Issued:
    """Return what a CA would have issued."""
    start = datetime(2026, 11, 21, 4, 5, 6, 789, tzinfo=UTC)
    pem = "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n"
    return Issued(pem, serial, "f0" * 32, key, start, start + timedelta(days=1825))


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    """Connect to the database, bypassing espm."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


# A life of WEB as every schema since the first takes it.
_LIFE = """
INSERT INTO nodes (certname, platform, state, version, classification, created_at, updated_at)
VALUES ('web.example.com', 'cloud', '{state}', 1,
  '{{"environment":null,"groups":[],"classes":{{}},"parameters":{{}}}}',
  '2026-11-21 04:20:20.000000', '2026-11-21 04:20:2{second}.000000')
"""


def make_older(url: str, revision: str, *states: str) -> None:
    """Make a ledger with an older schema, in which ``WEB`` had one life after the other.

    :param revision: the schema's.
    :param states: of the lives; the first changed last at 20 seconds, the next at 21.
    """
    with connected(url) as connection:
        config = scripts.config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        for second, state in enumerate(states):
            connection.exec_driver_sql(_LIFE.format(state=state, second=second))


@contextmanager
def hear(ledger: SqlLedger) -> Iterator[list[str]]:
    """Yield a list that gets each statement which the ledger says to its database meanwhile."""
    with hear_all(ledger) as said:
        yield said.texts


class Said(list[tuple[str, Any]]):
    """Statements with their parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def note(self, text: str, parameters: Any) -> None:
        """Add one."""
        self.append((text, parameters))
        self.texts.append(text)


@contextmanager
def hear_all(ledger: SqlLedger) -> Iterator[Said]:
    """As :func:`hear`, with the parameters; those that SQLAlchemy runs and those it does not."""
    said, engine, run = Said(), ledger._engine, statements.run

    def note(_c: object, _cursor: object, text: str, parameters: Any, *_: object) -> None:
        said.note(text, parameters)

    def run_noted(connection: sa.Connection, text: str, parameters: Any = (), **how: Any) -> Any:
        if connection.engine is engine:
            said.note(text, parameters)
        return run(connection, text, parameters, **how)

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        with patch.object(statements, "run", run_noted):
            yield said
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


@contextmanager
def breaking_off(ledger: SqlLedger, *, done: bool) -> Iterator[None]:
    """Let the commits of the block fail.

    :param done: whether the database has committed.
    """
    dialect: Any = ledger._engine.dialect
    commit = dialect.do_commit

    def commit_and_fail(connection: Any) -> None:
        if done:
            commit(connection)
        msg = "the server closed the connection"
        raise dialect.loaded_dbapi.OperationalError(msg)

    dialect.do_commit = commit_and_fail
    try:
        yield
    finally:
        dialect.do_commit = commit


@contextmanager
def broken_off(ledger: SqlLedger, *, done: bool = True) -> Iterator[None]:
    """Let a commit of the block fail, of which it is told by an error."""
    with breaking_off(ledger, done=done), pytest.raises(BackendUnavailable):
        yield


def race(*steps: Callable[[], object]) -> list[object]:
    """Run *steps* at once, each in a thread, and return what they returned or raised."""
    results: list[object] = [None] * len(steps)
    barrier = threading.Barrier(len(steps))

    def run(index: int, step: Callable[[], object]) -> None:
        barrier.wait()
        try:
            results[index] = step()
        except Exception as error:  # noqa: BLE001 - the tests look at whatever came
            results[index] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(steps)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
