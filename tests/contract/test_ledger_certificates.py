"""What every ledger must do with certificates, told through its port alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from typing import TYPE_CHECKING

import pytest

from espm.errors import (
    BackendRefused,
    CertificateExists,
    Conflict,
    NodeBusy,
)
from espm.ledger import reader
from espm.model import (
    CertificateState,
    Certname,
    IntentKind,
    KeyMaker,
    NodeState,
    OrderedKey,
)
from tests.contract.lives import KEY, active, begin, hear, issued, race, reserve

if TYPE_CHECKING:
    from espm.ledger import SqlLedger
    from espm.model import Certificate, Intent, Issued
    from espm.ports import Ledger


def test_a_certificate_is_ordered_recorded_and_revoked(ledger: Ledger) -> None:
    """Its whole life, with a serial number of 160 bits."""
    node, intent = reserve(ledger)
    assert ledger.certificate(node) is None

    ordered = ledger.order(intent, KEY, KeyMaker.NODE)
    assert ordered == ledger.certificate(node)
    assert (ordered.key_sha256, ordered.key_maker, ordered.issued) == (KEY, KeyMaker.NODE, None)

    valid = ledger.record(ordered, issued())
    assert (CertificateState.VALID, issued()) == (valid.state, valid.issued)
    assert [valid] == list(ledger.certificates(node))

    revoking = ledger.mark(valid, CertificateState.REVOKING)
    assert [revoking] == list(ledger.certificates(node))
    revoked = ledger.mark(revoking, CertificateState.REVOKED)
    assert list(ledger.certificates(node)) == []
    assert revoked == ledger.certificate(node)
    assert replace(valid, state=CertificateState.REVOKED) == revoked


def test_those_of_several_nodes_are_told_apart(ledger: Ledger) -> None:
    """Each has its own, what is over is left out, and one that has none has none."""
    nodes = [active(ledger, f"n{number}.example.com") for number in range(5)]
    ordered = []
    for number, node in enumerate(nodes[:4]):
        intent = begin(ledger, node, IntentKind.ISSUE)
        ordered.append(ledger.order(intent, f"{number:064x}", KeyMaker.ESPM))
    ledger.mark(ordered[3], CertificateState.VOID)

    found = ledger.certificates_of([node.generation for node in nodes])

    assert [*map(list, found.values())] == [[each] for each in ordered[:3]] + [[], []]
    assert [*found] == [node.generation for node in nodes]
    assert ledger.certificates_of([]) == {}


def test_validity_is_kept_as_a_moment(ledger: Ledger) -> None:
    """Whatever zone a moment comes in, it comes back as the same moment in UTC."""
    _, intent = reserve(ledger)
    east = datetime(2026, 11, 21, 12, 0, tzinfo=timezone(timedelta(hours=9)))

    valid = ledger.record(
        ledger.order(intent, KEY, KeyMaker.ESPM), replace(issued(), not_before=east)
    )

    assert valid.issued is not None
    assert datetime(2026, 11, 21, 3, 0, tzinfo=UTC) == valid.issued.not_before
    assert valid.issued.not_before.tzinfo == UTC


def test_a_node_has_one_standing_certificate(ledger: Ledger) -> None:
    """A new one needs the old one revoked or void; the latest is the one that counts."""
    node = active(ledger)
    intent = begin(ledger, node, IntentKind.ISSUE)
    first = ledger.order(intent, KEY, KeyMaker.ESPM)
    with pytest.raises(CertificateExists):
        ledger.order(intent, "b2" * 32, KeyMaker.ESPM)

    ledger.mark(first, CertificateState.VOID)
    assert ledger.certificate(node) is None
    second = ledger.order(intent, "b2" * 32, KeyMaker.ESPM)

    assert second == ledger.certificate(node)


def test_of_two_orders_one_wins(ledger: Ledger) -> None:
    """Two threads that order under one intent do not get two certificates."""
    intent = begin(ledger, active(ledger), IntentKind.ISSUE)

    results = race(*[lambda: ledger.order(intent, KEY, KeyMaker.ESPM)] * 2)

    assert sum(isinstance(result, CertificateExists) for result in results) == 1


def test_nothing_is_ordered_for_a_node_that_goes(ledger: Ledger) -> None:
    """No key is noted under an ADD that is being undone, nor under a deletion."""
    _, add = reserve(ledger)
    ledger.condemn(add)
    deletion = begin(ledger, active(ledger, "other"), IntentKind.DELETE)

    for intent in (add, deletion):
        with pytest.raises(NodeBusy):
            ledger.order(intent, KEY, KeyMaker.ESPM)


def test_only_the_ordered_key_is_recorded(ledger: Ledger) -> None:
    """A certificate for another key is not ours, whoever signed it."""
    _, intent = reserve(ledger)
    ordered = ledger.order(intent, KEY, KeyMaker.ESPM)

    with pytest.raises(BackendRefused):
        ledger.record(ordered, issued(key="b2" * 32))
    assert ordered.state is CertificateState.ORDERED


def test_recording_and_marking_are_idempotent_and_never_go_back(ledger: Ledger) -> None:
    """Whoever carries on may repeat each step, with what it knew before."""
    node, intent = reserve(ledger)
    ordered = ledger.order(intent, KEY, KeyMaker.ESPM)
    valid = ledger.record(ordered, issued())
    assert valid == ledger.record(ordered, issued())
    revoked = ledger.mark(valid, CertificateState.REVOKED)

    for state in (CertificateState.VALID, CertificateState.REVOKING, CertificateState.REVOKED):
        assert revoked == ledger.mark(valid, state)
    assert revoked == ledger.record(ordered, issued())
    assert revoked == ledger.certificate(node)


@pytest.mark.parametrize("state", [CertificateState.REVOKING, CertificateState.REVOKED])
def test_an_order_is_never_called_revoked(ledger: Ledger, state: CertificateState) -> None:
    """Nothing counts as revoked of which no serial number is known."""
    _, intent = reserve(ledger)
    ordered = ledger.order(intent, KEY, KeyMaker.ESPM)

    with pytest.raises(Conflict):
        ledger.mark(ordered, state)


def test_what_was_issued_is_never_void_and_void_never_issued(ledger: Ledger) -> None:
    """A certificate that exists cannot be forgotten, and a void order stays void."""
    _, intent = reserve(ledger)
    void = ledger.mark(ledger.order(intent, KEY, KeyMaker.ESPM), CertificateState.VOID)
    with pytest.raises(Conflict):
        ledger.record(void, issued())

    valid = ledger.record(ledger.order(intent, KEY, KeyMaker.ESPM), issued())
    with pytest.raises(Conflict):
        ledger.mark(valid, CertificateState.VOID)
    with pytest.raises(Conflict):
        ledger.record(valid, replace(issued(), fingerprint="e0" * 32))


def test_certificates_are_counted_with_those_of_ended_lives(ledger: Ledger) -> None:
    """As many as are told one by one, whatever their state."""
    assert ledger.certificate_count() == 0
    for name in ("a.example.com", "b.example.com"):
        _, intent = reserve(ledger, name)
        void = ledger.order(intent, KEY, KeyMaker.ESPM)
        ledger.mark(void, CertificateState.VOID)
        ledger.condemn(intent)
        ledger.bury(intent)

    assert ledger.certificate_count() == len(list(ledger.all_certificates())) == 2


def test_whose_a_certificate_was_is_known_after_the_end(ledger: Ledger) -> None:
    """By generation; many are asked for at once, and none is no question."""
    ordered = {}
    for number in range(3):
        platform = f"cloud-{number % 2}"
        node, intent = reserve(ledger, f"n{number}.example.com", platform)
        ordered[node.generation] = (platform, ledger.order(intent, KEY, KeyMaker.NODE))
        if number:
            ledger.condemn(intent)
            ledger.bury(intent)

    found = ledger.platforms_of(certificate for _, certificate in ordered.values())

    assert found == {generation: platform for generation, (platform, _) in ordered.items()}
    assert ledger.platforms_of([]) == {}


def test_an_issue_is_refused_where_a_certificate_stands(ledger: Ledger) -> None:
    """So all that stand while an ISSUE is open are of its own order."""
    node = active(ledger)
    intent = begin(ledger, node, IntentKind.ISSUE)
    ordered = ledger.order(intent, KEY, KeyMaker.ESPM)
    ledger.close(intent)
    with pytest.raises(CertificateExists):
        begin(ledger, node, IntentKind.ISSUE)
    ledger.mark(ordered, CertificateState.VOID)

    assert begin(ledger, node, IntentKind.ISSUE).kind is IntentKind.ISSUE


def test_an_order_has_a_successor_when_its_key_was_ordered_again(ledger: Ledger) -> None:
    """Under the same name only, and until that certificate is revoked too."""
    node = active(ledger)
    intent = begin(ledger, node, IntentKind.ISSUE)
    void = ledger.mark(ledger.order(intent, KEY, KeyMaker.NODE), CertificateState.VOID)
    other = ledger.mark(ledger.order(intent, "b2" * 32, KeyMaker.NODE), CertificateState.VOID)
    before = ledger.has_successor(node.certname, void)
    again = ledger.order(intent, KEY, KeyMaker.NODE)
    ordered = ledger.has_successor(node.certname, void)
    valid = ledger.record(again, issued())
    recorded = ledger.has_successor(node.certname, void)

    assert (before, ordered, recorded) == (False, True, True)
    assert not ledger.has_successor(node.certname, other)
    assert not ledger.has_successor(node.certname, valid)
    assert not ledger.has_successor(Certname("another.example.com"), void)
    ledger.mark(valid, CertificateState.REVOKING)
    assert not ledger.has_successor(node.certname, void)


def test_what_is_ordered_with_a_node_is_recorded_with_it(ledger: Ledger) -> None:
    """Two transactions in all: nothing of it is in force by halves."""
    node, intent = reserve(ledger, key=OrderedKey(KEY, KeyMaker.ESPM))
    ordered = ledger.certificate(node)
    assert ordered is not None
    assert (ordered.state, ordered.key_sha256) == (CertificateState.ORDERED, KEY)

    added, valid = ledger.fulfil(node, intent, issued())

    assert (added.state, valid.state) == (NodeState.ACTIVE, CertificateState.VALID)
    assert [valid] == list(ledger.certificates(added))
    assert ledger.is_closed(intent)


def test_what_another_key_got_leaves_the_node_as_it_was(ledger: Ledger) -> None:
    """Neither half is done when the other can't be."""
    node, intent = reserve(ledger, key=OrderedKey(KEY, KeyMaker.ESPM))

    with pytest.raises(BackendRefused):
        ledger.fulfil(node, intent, issued(key="b2" * 32))

    assert ledger.node("cloud", node.certname).state is NodeState.ADDING
    assert not ledger.is_closed(intent)


def disowned(ledger: Ledger, intent: Intent, of: Issued) -> Certificate:
    """Return what is noted of a certificate for a key that nobody has ordered."""
    noted = ledger.disown(intent, of)
    assert noted is not None
    return noted


def test_what_was_signed_for_a_key_nobody_ordered_is_noted_to_be_revoked(ledger: Ledger) -> None:
    """Once for each serial, beside the order, and whoever has the claim by now."""
    node, intent = reserve(ledger, key=OrderedKey(KEY, KeyMaker.ESPM))
    [ordered] = ledger.certificates(node)
    ledger.leave(intent, "away")
    stranger = issued(key="b2" * 32)

    noted = disowned(ledger, intent, stranger)

    assert noted == disowned(ledger, intent, stranger)
    assert (noted.state, noted.issued) == (CertificateState.REVOKING, stranger)
    assert (noted.key_sha256, noted.key_maker) == (stranger.key_sha256, KeyMaker.NODE)
    assert list(ledger.certificates(node)) == [ordered, noted]


def test_what_was_signed_for_nobody_is_watched_when_the_node_is_gone(ledger: Ledger) -> None:
    """Another espm may have ended that life meanwhile; the certificate is valid all the same."""
    _, intent = reserve(ledger)
    ledger.condemn(intent)
    ledger.bury(intent)

    noted = disowned(ledger, intent, issued(key="b2" * 32))

    assert [each for _, each in ledger.watched(3600)] == [noted]
    revoked = ledger.mark(noted, CertificateState.REVOKED)
    assert list(ledger.watched(3600)) == []
    assert revoked == disowned(ledger, intent, issued(key="b2" * 32))


@pytest.mark.parametrize("signed", [False, True])
def test_what_a_later_life_has_ordered_is_not_disowned(ledger: Ledger, *, signed: bool) -> None:
    """A thread that slept through its lease has had the CSR of its successor signed."""
    _, slept = reserve(ledger)
    ledger.condemn(slept)
    ledger.bury(slept)
    node, intent = reserve(ledger, key=OrderedKey("b2" * 32, KeyMaker.NODE))
    if signed:
        node, _ = ledger.fulfil(node, intent, issued(key="b2" * 32))
    [theirs] = ledger.certificates(node)

    assert ledger.disown(slept, issued(key="b2" * 32)) is None

    assert list(ledger.certificates(node)) == [theirs]
    assert list(ledger.watched(3600)) == []


def test_what_was_signed_for_nobody_is_seen_to_though_the_order_is_closed(ledger: Ledger) -> None:
    """Whoever disowns it may die next, and nobody else would work on a node in force."""
    node = active(ledger)
    intent = begin(ledger, node, IntentKind.ISSUE)
    ledger.close(intent)

    noted = disowned(ledger, intent, issued(key="b2" * 32))
    disowned(ledger, intent, issued(key="b2" * 32))

    [(current, undo)] = ledger.claim_due()
    assert (current.generation, undo.kind) == (node.generation, IntentKind.REVOKE)
    assert list(ledger.certificates(node)) == [noted]


def test_what_was_signed_for_nobody_is_left_to_whoever_works_on_the_node(ledger: Ledger) -> None:
    """An order that is open sees to all that stands when it is over."""
    node = active(ledger)
    intent = begin(ledger, node, IntentKind.ISSUE)

    disowned(ledger, intent, issued(key="b2" * 32))

    assert list(ledger.claim_due()) == []


def test_what_was_declined_is_void_and_nobody_looks_for_it(ledger: Ledger) -> None:
    """The CA has said that it did not take it, so whatever is there is somebody else's."""
    node, intent = reserve(ledger, key=OrderedKey(KEY, KeyMaker.NODE))

    ledger.decline(intent)
    ledger.decline(intent)

    assert list(ledger.certificates(node)) == []
    assert list(ledger.watched(3600)) == []
    with pytest.raises(Conflict):
        ledger.fulfil(node, intent, issued())


def test_only_who_ordered_can_decline(ledger: Ledger) -> None:
    """One whose claim was taken over does not void what came after it."""
    node, intent = reserve(ledger, key=OrderedKey(KEY, KeyMaker.NODE))
    ledger.leave(intent, "left")
    ledger.claim_left(node)

    with pytest.raises(NodeBusy):
        ledger.decline(intent)

    assert len(ledger.certificates(node)) == 1


def test_many_are_marked_together_or_none(ledger: Ledger) -> None:
    """One that can't be marked keeps the others as they were."""
    valid = []
    for number in range(3):
        node, intent = reserve(ledger, f"web{number}.example.com")
        ordered = ledger.order(intent, KEY, KeyMaker.ESPM)
        valid.append(ledger.record(ordered, issued(serial=number + 1)))

    moved = ledger.mark_all(valid, CertificateState.REVOKING)
    assert [(each.ident, each.state) for each in moved] == [
        (each.ident, CertificateState.REVOKING) for each in valid
    ]

    with pytest.raises(Conflict):
        ledger.mark_all([*moved[1:], unsigned(ledger)], CertificateState.REVOKED)
    assert [each.state for each in ledger.certificates(node)] == [CertificateState.REVOKING]


def unsigned(ledger: Ledger) -> Certificate:
    """Return a certificate that was never signed."""
    ordered = ledger.order(reserve(ledger, "void.example.com")[1], KEY, KeyMaker.ESPM)
    return ledger.mark(ordered, CertificateState.VOID)


def test_lives_that_end_together_end_all_or_none(ledger: Ledger) -> None:
    """One that was taken over keeps the others from ending; by itself each can end then."""
    intents = [
        begin(ledger, active(ledger, f"web{number}.example.com"), IntentKind.DELETE)
        for number in range(3)
    ]
    ledger.leave(intents[1], "left")

    with pytest.raises(NodeBusy):
        ledger.bury(*intents)
    assert [ledger.is_closed(intent) for intent in intents] == [False] * 3

    ledger.bury(intents[0], intents[2])
    assert [ledger.is_closed(intent) for intent in intents] == [True, False, True]
    assert [node.certname for node in ledger.nodes()] == ["web1.example.com"]


def test_what_was_revoked_comes_a_few_at_a_time(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is left out, and none that was revoked only after the first had come is among them."""
    monkeypatch.setattr(reader, "_BATCH", 2)
    names = [Certname(f"web-{number}.example.com") for number in range(5)]
    ended = [_revoked(ledger, name, serial) for serial, name in enumerate(names, start=1)]

    with hear(ledger) as said:
        found = ledger.revoked(3600)
        named = iter(found.named)
        first = next(named)
    late = _revoked(ledger, Certname("late.example.com"), serial=0xA6)

    assert len(said) == 2, "which there are, and two of them"
    assert [first, *named] == list(zip(names, ended, strict=True))
    assert found.serials == {1, 2, 3, 4, 5}
    assert ledger.revoked(3600).serials == {1, 2, 3, 4, 5, 0xA6}
    assert [each for _, each in ledger.revoked(3600).named] == [*ended, late]
    assert list(ledger.revoked(0).named) == []
    assert list(ledger.watched(3600)) == []


def test_looking_at_what_was_revoked_takes_few_statements(ledger: SqlLedger) -> None:
    """It is looked at every few seconds, and each statement stays, in its driver's memory too."""
    with hear(ledger) as said:
        new = []
        for number in range(1, 17):
            _revoked(ledger, Certname(f"web-{number}.example.com"), serial=number)
            before = set(said)
            assert len(list(ledger.revoked(3600).named)) == number
            new += [number] if set(said) > before else []

    assert new == [1]


def test_any_number_of_retirements_at_once_is_told_in_the_same_statements(
    ledger: SqlLedger,
) -> None:
    """Each statement stays with each connection, so one for each number would be memory."""
    with hear(ledger) as said:
        new, serial = [], count(1)
        for number in range(2, 6):
            names = [Certname(f"web-{number}-{each}.example.com") for each in range(number)]
            valid = [_valid(ledger, name, next(serial)) for name in names]
            intents = [
                begin(ledger, ledger.node("cloud", name), IntentKind.DELETE) for name in names
            ]
            before = set(said)
            ledger.certificates_of([each.generation for each in valid])
            ledger.platforms_of(valid)
            for state in (CertificateState.REVOKING, CertificateState.REVOKED):
                assert {each.state for each in ledger.mark_all(valid, state)} == {state}
            ledger.bury(*intents)
            assert not [name for name in names if not ledger.was_deleted("cloud", name)]
            new += [number] if set(said) > before else []

    assert new == [2]


def _valid(ledger: Ledger, name: Certname, serial: int) -> Certificate:
    _, intent = reserve(ledger, name)
    valid = ledger.record(ledger.order(intent, KEY, KeyMaker.NODE), issued(serial=serial))
    ledger.activate(intent)
    return valid


def _revoked(ledger: Ledger, name: Certname, serial: int) -> Certificate:
    _, intent = reserve(ledger, name)
    valid = ledger.record(ledger.order(intent, KEY, KeyMaker.NODE), issued(serial=serial))
    ledger.mark(valid, CertificateState.REVOKING)
    return ledger.mark(valid, CertificateState.REVOKED)
