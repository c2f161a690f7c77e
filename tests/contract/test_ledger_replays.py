"""What every ledger must do with Idempotency-Keys: tell what became of what they began."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from espm.errors import CertnameTaken, IdempotencyBusy, NodeBusy
from espm.ledger import claims, open_ledger
from espm.ledger.schema import replays
from espm.model import CertificateState, Fate, IntentKind, Kept, KeyMaker, ReplayKey
from tests.contract.lives import KEY, active, begin, delete, hear, issued, race, reserve

if TYPE_CHECKING:
    from espm.ledger import SqlLedger
    from espm.model import Node, Replay

POST = ReplayKey("cloud", "/v1/nodes", "k-1")
DIGEST = "d1" * 32
ANSWER = Kept({"ETag": '"1.1"', "Location": "/v1/nodes/ä"}, '{"name":"ä"}\n')


def noting(ledger: SqlLedger, key: ReplayKey = POST, former: Replay | None = None) -> SqlLedger:
    """Return the ledger for a request with a key."""
    return ledger.noting(key, DIGEST, former)


def fate(ledger: SqlLedger, key: ReplayKey = POST) -> Fate | None:
    """Return what became of the request with the key."""
    found = ledger.replay(key)
    return None if found is None else found.fate


def issue(ledger: SqlLedger, node: Node, maker: KeyMaker = KeyMaker.NODE) -> None:
    """Get the node a certificate under a key."""
    noted = noting(ledger)
    intent = begin(noted, node, IntentKind.ISSUE)
    noted.record(noted.order(intent, KEY, maker), issued())
    noted.close(intent)


def later(monkeypatch: pytest.MonkeyPatch, hours: float) -> None:
    """Set the ledger's clock forward."""
    moment = claims.now() + timedelta(hours=hours)
    monkeypatch.setattr("espm.ledger.replay_store.now", lambda: moment)


def count(ledger: SqlLedger) -> int:
    """Return how many keys the database holds."""
    with ledger._engine.begin() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(replays)).scalar_one())


def test_keys_are_not_asked_for_where_none_was_given(ledger: SqlLedger) -> None:
    """Who began an operation knows that; who carries one on does not, and asks."""
    with hear(ledger) as said:
        ledger.activate(reserve(ledger, "a")[1])
        node, intent = reserve(ledger, "b")
        ledger.order(intent, KEY, KeyMaker.NODE)
        ledger.fulfil(node, intent, issued())
        delete(ledger, ledger.node("cloud", node.certname))
        assert not [text for text in said if "replays" in text]

        _, intent = reserve(ledger, "c")
        ledger.leave(intent, "so")
        [(_, claimed)] = ledger.claim_due()
        ledger.activate(claimed)
        assert len([text for text in said if "replays" in text]) == 1


def test_a_key_is_noted_with_the_addition_it_begins(ledger: SqlLedger) -> None:
    """Open until the addition is; then it stands, for as long as the node does."""
    assert ledger.replay(POST) is None
    node, intent = reserve(noting(ledger))
    found = ledger.replay(POST)
    assert found is not None
    assert (found.digest, found.kind, found.fate) == (DIGEST, IntentKind.ADD, Fate.OPEN)
    assert (found.node, found.certificate, found.kept) == (node, None, None)

    node = ledger.activate(intent)
    assert fate(ledger) is Fate.STANDS
    deletion = begin(ledger, node, IntentKind.DELETE)
    assert fate(ledger) is Fate.GONE
    ledger.bury(deletion)

    assert fate(ledger) is Fate.GONE
    active(ledger)
    assert fate(ledger) is Fate.GONE, "another life of the name is not what the key made"


@pytest.mark.parametrize(
    "other",
    [
        replace(POST, platform="other"),
        replace(POST, path="/v1/nodes/a/certificate"),
        replace(POST, text="K-1"),
        replace(POST, text='"k-1"'),
    ],
)
def test_a_key_counts_for_its_platform_and_path(ledger: SqlLedger, other: ReplayKey) -> None:
    """Elsewhere it is another key, which may begin something of its own."""
    reserve(noting(ledger), "a")

    assert ledger.replay(other) is None
    reserve(noting(ledger, other), "b")
    assert fate(ledger, other) is Fate.OPEN


def test_an_addition_that_was_taken_back_left_nothing(ledger: SqlLedger) -> None:
    """The request may run anew, and takes the row's place."""
    _, intent = reserve(noting(ledger))
    ledger.condemn(intent)
    assert fate(ledger) is Fate.OPEN
    ledger.bury(intent)
    former = ledger.replay(POST)
    assert former is not None
    assert former.fate is Fate.NOTHING

    _, intent = reserve(noting(ledger, former=former))
    ledger.activate(intent)

    assert fate(ledger) is Fate.STANDS
    assert count(ledger) == 1


def test_an_addition_whose_answer_was_lost_and_that_is_taken_back_left_nothing(
    ledger: SqlLedger,
) -> None:
    """The ledger took the last step and could not say so: nobody was told of the node."""
    _, intent = reserve(noting(ledger))
    node = ledger.activate(intent)
    undoing = ledger.begin(node, IntentKind.DELETE, request_id="undo", undoes=intent)
    assert fate(ledger) is Fate.NOTHING
    ledger.bury(undoing)

    assert fate(ledger) is Fate.NOTHING


def test_an_addition_that_a_deletion_superseded_is_gone(ledger: SqlLedger) -> None:
    """Who deleted the name does not get it back by a late repeat."""
    node, intent = reserve(noting(ledger))
    ledger.leave(intent, "the CA is down")
    assert fate(ledger) is Fate.OPEN

    delete(ledger, node)

    assert fate(ledger) is Fate.GONE


@pytest.mark.parametrize("maker", KeyMaker)
def test_a_key_knows_the_certificate_it_ordered(ledger: SqlLedger, maker: KeyMaker) -> None:
    """And whether the answer had a private key; once revoked, it is gone."""
    node = active(ledger)
    issue(ledger, node, maker)
    found = ledger.replay(POST)
    assert found is not None
    assert (found.fate, found.kind) == (Fate.STANDS, IntentKind.ISSUE)
    assert found.secret == (maker is KeyMaker.ESPM)
    assert found.certificate == ledger.certificate(node)

    assert found.certificate is not None
    ledger.mark(found.certificate, CertificateState.REVOKING)

    assert fate(ledger) is Fate.GONE


@pytest.mark.parametrize("state", [CertificateState.VOID, CertificateState.REVOKED])
def test_an_issue_that_was_taken_back_left_nothing(
    ledger: SqlLedger, state: CertificateState
) -> None:
    """Also when its certificate was valid for a moment before it was revoked as an undoing."""
    noted = noting(ledger)
    intent = begin(noted, active(ledger), IntentKind.ISSUE)
    ordered = noted.order(intent, KEY, KeyMaker.ESPM)
    if state is CertificateState.REVOKED:
        ordered = ledger.record(ordered, issued())
    ledger.mark(ordered, state)
    ledger.close(intent)

    assert fate(ledger) is Fate.NOTHING


def test_an_issue_that_ordered_nothing_left_nothing(ledger: SqlLedger) -> None:
    """The certificate that the node gets afterwards is not the key's."""
    node = active(ledger)
    other = replace(POST, text="k-2")
    ledger.close(begin(noting(ledger, other), node, IntentKind.ISSUE))
    issue(ledger, node)

    assert fate(ledger, other) is Fate.NOTHING
    assert fate(ledger) is Fate.STANDS


def test_other_operations_note_no_key(ledger: SqlLedger) -> None:
    """A key is told of the addition or issue, not of what had to be settled on the way."""
    noted = noting(ledger)
    node = active(ledger)
    for kind in (IntentKind.CHANGE, IntentKind.REVOKE):
        noted.close(begin(noted, node, kind))
    delete(noted, node)

    assert ledger.replay(POST) is None


def test_what_begins_nothing_leaves_nothing(ledger: SqlLedger) -> None:
    """A name that is taken, a node that is busy: no key is noted."""
    node = active(ledger)
    begin(ledger, node, IntentKind.REVOKE)

    with pytest.raises(CertnameTaken):
        reserve(noting(ledger))
    with pytest.raises(NodeBusy):
        begin(noting(ledger), node, IntentKind.ISSUE)
    assert count(ledger) == 0


def test_an_answer_is_kept_as_it_was(ledger: SqlLedger, url: str) -> None:
    """Headers and body come back to the byte, also after a restart."""
    _, intent = reserve(noting(ledger))
    ledger.keep(POST, ANSWER)
    early = ledger.replay(POST)
    ledger.activate(intent)

    ledger.keep(POST, ANSWER)

    with open_ledger(url) as again:
        found = again.replay(POST)
    assert early is not None
    assert early.kept is None, "nothing was made yet"
    assert found is not None
    assert found.kept == ANSWER


def test_a_key_is_forgotten_after_a_day(ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is as good as new, and its old row is in nobody's way."""
    ledger.activate(reserve(noting(ledger), "a")[1])
    later(monkeypatch, 23.9)
    assert fate(ledger) is Fate.STANDS
    later(monkeypatch, 24.1)
    assert ledger.replay(POST) is None

    reserve(noting(ledger), "b")

    assert fate(ledger) is Fate.OPEN
    assert count(ledger) == 1


def test_old_keys_are_removed_a_few_at_a_time(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each key that is noted removes more rows than it adds, and never very many."""
    for number in range(25):
        reserve(noting(ledger, replace(POST, text=f"old-{number}")), f"n{number}")
    later(monkeypatch, 24.1)

    counts = []
    for number in range(4):
        reserve(noting(ledger, replace(POST, text=f"new-{number}")), f"m{number}")
        counts.append(count(ledger))

    assert counts == [16, 7, 3, 4]


def test_many_who_note_at_once_are_in_nobodys_way(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each removes old rows, none of them waits for another or fails."""
    for number in range(60):
        reserve(noting(ledger, replace(POST, text=f"old-{number}")), f"n{number}")
    later(monkeypatch, 24.1)

    def step(number: int) -> None:
        for turn in range(4):
            text = f"old-{number * 4 + turn}"
            reserve(noting(ledger, replace(POST, text=text)), f"m{number}-{turn}")

    results = race(*[partial(step, number) for number in range(8)])

    assert results == [None] * 8
    assert count(ledger) == 32


def test_of_two_with_one_key_one_begins(ledger: SqlLedger) -> None:
    """Also where two espm do not know of each other: the other one's node is not there either."""
    results = race(
        lambda: reserve(noting(ledger), "a"),
        lambda: reserve(noting(ledger), "b"),
    )

    failures = [result for result in results if isinstance(result, Exception)]
    assert [type(failure) for failure in failures] == [IdempotencyBusy]
    assert len(list(ledger.nodes())) == 1


def test_a_row_is_only_replaced_by_who_saw_it(ledger: SqlLedger) -> None:
    """Two that saw the same undone request: the second finds the first's."""
    _, intent = reserve(noting(ledger))
    ledger.condemn(intent)
    ledger.bury(intent)
    former = ledger.replay(POST)
    reserve(noting(ledger, former=former), "a")

    with pytest.raises(IdempotencyBusy):
        reserve(noting(ledger, former=former), "b")
