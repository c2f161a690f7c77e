"""Short words for the ledger's tests: lives of nodes, and threads that race."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from espm.model import (
    Certname,
    Classification,
    IntentKind,
    Issued,
    Node,
)

if TYPE_CHECKING:
    from collections.abc import Callable

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


def hear(ledger: SqlLedger) -> list[str]:
    """Return a list that gets each statement which the ledger says to its database from now on."""
    said: list[str] = []
    sa.event.listen(ledger._engine, "before_cursor_execute", lambda *given: said.append(given[2]))
    return said


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
