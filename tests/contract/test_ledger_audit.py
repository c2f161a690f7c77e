"""What the audit log tells, and that it tells it exactly when it happened."""

from __future__ import annotations

import logging
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from espm.errors import BackendRefused, NodeBusy
from espm.ledger import audit, chain, open_chain, open_ledger
from espm.ledger.schema import audit_head
from espm.model import CertificateState, Certname, IntentKind, KeyMaker, NodeState
from tests.contract.lives import (
    KEY,
    PLAIN,
    WEB,
    active,
    begin,
    broken_off,
    delete,
    hear,
    issued,
    race,
    reserve,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from espm.ledger import SqlLedger

pytestmark = pytest.mark.slow

SERIAL = "F" * 40


def told(url: str) -> list[dict[str, Any]]:
    """Return the rows of the audit log."""
    with open_chain(url) as log:
        return list(log.rows())


def outline(url: str) -> list[tuple[str, str, str | None]]:
    """Return action, outcome and request id of each row."""
    return [(row["action"], row["outcome"], row["request_id"]) for row in told(url)]


def fault(url: str) -> str | None:
    """Return what is wrong with the audit log, if anything is."""
    with open_chain(url) as log:
        end, head = log.ends()
        return chain.fault(log.rows(until=end), head)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """The lines that are logged about the audit log, as they come."""
    lines: list[str] = []

    class Keep(logging.Handler):
        """Keeps what is said."""

        def emit(self, record: logging.LogRecord) -> None:
            """Keep the message."""
            lines.append(record.getMessage())

    handler, logger = Keep(), logging.getLogger("espm.audit")
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(before)


def test_the_life_of_a_node_is_told(ledger: SqlLedger, url: str) -> None:
    """Who did what, in order: each row with the request that asked for it."""
    node, adding = reserve(ledger)
    ledger.record(ledger.order(adding, KEY, KeyMaker.ESPM), issued())
    node = ledger.activate(adding)
    changing = ledger.begin(node, IntentKind.CHANGE, request_id="r-change")
    node = ledger.change(changing, PLAIN, 2)
    revoking = ledger.begin(node, IntentKind.REVOKE, request_id="r-revoke")
    [valid] = ledger.certificates(node)
    ledger.mark(ledger.mark(valid, CertificateState.REVOKING), CertificateState.REVOKED)
    ledger.close(revoking)
    ledger.bury(ledger.begin_deletion(node, request_id="r-delete")[0])

    assert outline(url) == [
        ("issue", "done", "r-1"),
        ("add", "done", "r-1"),
        ("change", "done", "r-change"),
        ("revoke", "begun", "r-revoke"),
        ("revoke", "done", "r-revoke"),
        ("delete", "begun", "r-delete"),
        ("delete", "done", "r-delete"),
    ]
    rows = told(url)
    assert {(row["platform"], row["certname"], row["generation"]) for row in rows} == {
        ("cloud", WEB, node.generation)
    }
    assert [row["number"] for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    assert [row["serial"] for row in rows] == [SERIAL, None, None, None, SERIAL, None, None]
    assert [row["fingerprint"] for row in rows if row["serial"]] == ["f0" * 32] * 2
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:]{8}\.\d{6}Z", row["at"]) for row in rows)
    assert sorted(row["at"] for row in rows) == [row["at"] for row in rows]


def test_what_is_taken_back_is_told(ledger: SqlLedger, url: str) -> None:
    """An ADD that failed, a CSR that was never signed, and a change that did not hold."""
    _, adding = reserve(ledger)
    ordered = ledger.order(adding, KEY, KeyMaker.ESPM)
    ledger.condemn(adding)
    ledger.mark(ordered, CertificateState.VOID)
    ledger.bury(adding)
    node = active(ledger)
    ledger.change(begin(ledger, node, IntentKind.CHANGE), node.classification, 3)

    assert outline(url) == [
        ("issue", "void", "r-1"),
        ("add", "undone", "r-1"),
        ("add", "done", "r-1"),
        ("change", "undone", "r-2"),
    ]


def test_what_another_espm_ends_is_told_of_who_asked(url: str) -> None:
    """The request id is the one of the intent, whoever carries it on and whatever comes between."""
    with open_ledger(url, lease=0) as former:
        node = active(former)
        issuing = former.begin(node, IntentKind.ISSUE, request_id="r-asked")
        former.begin(node, IntentKind.CHANGE, request_id="r-other")
        ordered = former.order(issuing, KEY, KeyMaker.NODE)
    with open_ledger(url) as latter:
        assert len(latter.claim_due()) == 2
        latter.record(ordered, issued())

    assert outline(url)[-1] == ("issue", "done", "r-asked")


def test_a_certificate_without_a_request_is_told_of_nobody(ledger: SqlLedger, url: str) -> None:
    """Where no intent is open, the row has no request id, and the chain is whole all the same."""
    _, adding = reserve(ledger)
    valid = ledger.record(ledger.order(adding, KEY, KeyMaker.ESPM), issued())
    ledger.activate(adding)
    ledger.mark(valid, CertificateState.REVOKED)

    assert outline(url)[-1] == ("revoke", "done", None)
    assert told(url)[-1]["platform"] == "cloud"
    assert fault(url) is None


def test_a_repeat_is_not_told_again(ledger: SqlLedger, url: str) -> None:
    """Steps that were done already leave no second row."""
    node, adding = reserve(ledger)
    ordered = ledger.order(adding, KEY, KeyMaker.ESPM)
    for _ in range(2):
        ledger.record(ordered, issued())
    node = ledger.activate(adding)
    deleting = begin(ledger, node, IntentKind.DELETE)
    [valid] = ledger.certificates(node)
    for _ in range(2):
        ledger.mark(valid, CertificateState.REVOKED)
    for _ in range(2):
        ledger.bury(deleting)
    ledger.close(deleting)

    assert [row[:2] for row in outline(url)] == [
        ("issue", "done"),
        ("add", "done"),
        ("delete", "begun"),
        ("revoke", "done"),
        ("delete", "done"),
    ]


def test_what_changed_nothing_is_not_told(ledger: SqlLedger, url: str, logged: list[str]) -> None:
    """A name reserved, an intent refused or left, a certificate ordered, a ping: no rows."""
    node, adding = reserve(ledger)
    ledger.order(adding, KEY, KeyMaker.ESPM)
    with pytest.raises(NodeBusy):
        begin(ledger, node, IntentKind.DELETE)
    ledger.leave(adding, "the CA is away")
    ledger.claim_due()
    ledger.ping()

    assert (told(url), logged) == ([], [])


def test_each_head_is_logged_when_it_is_durable(
    ledger: SqlLedger, url: str, logged: list[str]
) -> None:
    """One line for each row, with number and hash, once others can see the row."""
    seen: list[int] = []
    logging.getLogger("espm.audit").handlers[-1].addFilter(
        lambda _record: seen.append(len(told(url))) or True  # type: ignore[func-returns-value]
    )
    _, adding = reserve(ledger)
    ledger.record(ledger.order(adding, KEY, KeyMaker.ESPM), issued())
    delete(ledger, ledger.activate(adding))

    hashes = [row["hash"] for row in told(url)]
    assert logged == [
        f"audit 1 {hashes[0]} issue {WEB} done serial {SERIAL} platform cloud request r-1",
        f"audit 2 {hashes[1]} add {WEB} done platform cloud request r-1",
        f"audit 3 {hashes[2]} delete {WEB} begun platform cloud request r-2",
        f"audit 4 {hashes[3]} delete {WEB} done platform cloud request r-2",
    ]
    assert seen == [1, 2, 3, 4]


def test_what_was_rolled_back_is_neither_told_nor_logged(
    ledger: SqlLedger, url: str, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug behind the note takes the note with it, and the next row has its number."""
    _, adding = reserve(ledger)
    with monkeypatch.context() as patched:
        patched.setattr("espm.ledger.nodes.move", lambda *_args: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            ledger.activate(adding)
    assert (told(url), logged) == ([], [])

    ledger.activate(adding)

    assert [row["number"] for row in told(url)] == [1]
    assert len(logged) == 1


def test_what_could_not_be_committed_is_neither_told_nor_logged(
    ledger: SqlLedger, url: str, logged: list[str]
) -> None:
    """The rows are written, the commit fails: nothing of it happened."""
    _, adding = reserve(ledger)

    with broken_off(ledger, done=False):
        ledger.activate(adding)

    assert (told(url), logged) == ([], [])
    assert ledger.node("cloud", WEB).state is NodeState.ADDING
    assert fault(url) is None


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM audit_head", "has lost its head"),
        ("UPDATE audit_head SET number = 0", "has a row behind its head"),
    ],
)
def test_nothing_is_changed_that_could_not_be_told(
    ledger: SqlLedger, statement: str, said: str
) -> None:
    """Where the chain can't go on, nothing else does, and the message says why."""
    node = active(ledger)
    with ledger._engine.begin() as connection:
        connection.execute(sa.text(statement))
    try:
        with pytest.raises(BackendRefused, match=f"{said}.*run 'espm audit verify'"):
            begin(ledger, node, IntentKind.DELETE)
        assert ledger.node("cloud", WEB) == node
    finally:
        with ledger._engine.begin() as connection:
            connection.execute(audit_head.delete())
            row = {"ident": 1, "number": 0, "hash": audit.GENESIS}
            connection.execute(audit_head.insert(), row)


def test_many_threads_make_one_chain(ledger: SqlLedger, url: str, logged: list[str]) -> None:
    """Eight threads with fifty changes each: every row has its place, and each head was logged."""

    def change(name: str) -> None:
        node = active(ledger, name)
        for _ in range(50):
            intent = begin(ledger, node, IntentKind.CHANGE)
            node = ledger.change(intent, PLAIN, node.version + 1)

    assert race(*[partial(change, f"n{index}") for index in range(8)]) == [None] * 8

    rows = told(url)
    assert len(rows) == 8 * 51
    assert fault(url) is None
    assert {tuple(line.split()[1:3]) for line in logged} == {
        (str(row["number"]), row["hash"]) for row in rows
    }


@pytest.mark.postgresql
def test_nobody_waits_for_a_change_that_is_not_at_its_end(postgres_url: str) -> None:
    """The head is locked last: who notes first does not hold up who commits first."""
    with open_ledger(postgres_url) as ledger:
        slow, _ = reserve(ledger, "slow")
        _, quick = reserve(ledger, "quick")
        with audit.writing(ledger._engine, audit.Known()) as connection:
            audit.note_opened(connection, slow, IntentKind.DELETE, "r-slow")
            ledger.activate(quick)

    assert [row["certname"] for row in told(postgres_url)[-2:]] == ["quick", "slow"]
    assert fault(postgres_url) is None


def test_a_transaction_may_tell_several_things(ledger: SqlLedger, url: str) -> None:
    """They get numbers in the order in which they were noted."""
    nodes = [reserve(ledger, name)[0] for name in ("a", "b", "c")]
    with audit.writing(ledger._engine, audit.Known()) as connection:
        for node in nodes:
            audit.note_opened(connection, node, IntentKind.DELETE, "r-all")

    assert [(row["number"], row["certname"]) for row in told(url)] == [(1, "a"), (2, "b"), (3, "c")]
    assert fault(url) is None


def test_the_head_is_asked_for_only_where_somebody_else_moved_it(
    ledger: SqlLedger, url: str
) -> None:
    """A process that writes alone goes on from what it committed; two make one chain in turns.

    In PostgreSQL, where many write side by side, it is asked for each time and never guessed.
    """
    with hear(ledger) as said:
        for name in ("a", "b", "c"):
            delete(ledger, active(ledger, name))
        alone = url.startswith("sqlite")
        assert _asked(said) == (0 if alone else 3 * 3)

        with open_ledger(url) as other:
            delete(other, active(other, "d"))
        delete(ledger, active(ledger, "e"))
        assert _asked(said) == (1 if alone else 4 * 3)
        assert len([text for text in said if text.startswith("UPDATE audit_head")]) == 4 * 3 + alone
    assert fault(url) is None


def _asked(said: Sequence[str]) -> int:
    """Return how many of the statements ask for the head."""
    return len([text for text in said if text.startswith("SELECT audit_head")])


def test_the_hash_is_the_one_that_is_documented() -> None:
    """The canonical form never changes: others have hashes that were made with it."""
    row = {
        "number": 7,
        "at": "2026-11-21T04:20:20.123456Z",
        "platform": 'clöud "1"\x7f\n',
        "action": "issue",
        "certname": Certname("web.example.com"),
        "generation": 3,
        "serial": "D",
        "fingerprint": "f0" * 32,
        "request_id": None,
        "outcome": "done",
    }
    text = (
        '{"action":"issue","at":"2026-11-21T04:20:20.123456Z","certname":"web.example.com",'
        f'"fingerprint":"{"f0" * 32}","generation":3,"number":7,"outcome":"done",'
        f'"platform":"clöud \\"1\\"\x7f\\n","previous":"{"0" * 64}","request_id":null,'
        '"serial":"D"}'
    )

    assert audit.canonical({**row, "previous": audit.GENESIS}) == text.encode()
    assert audit.digest({**row, "hash": "any"}, audit.GENESIS) == (
        "2157a81544385b6708632b824b996751b93563111e66a9eaa1d6b7c816971c12"
    )
