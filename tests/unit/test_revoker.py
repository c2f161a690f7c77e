"""The one thread that revokes: it gathers, proves, heals, leaves nobody waiting for another."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from espm import endings, nodes
from espm import revoker as revoker_module
from espm.certificates import revoke
from espm.errors import BackendSilent, BackendUnavailable, Conflict
from espm.ledger import SqlLedger
from espm.model import Certname, Classification, IntentKind, Job, JobState
from espm.ordering import Order
from espm.revoker import Revoker
from tests.api.platform import PLATFORMS, Door, Espm, running
from tests.crls import is_revoked
from tests.fakes import fail_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from espm.model import Intent, Node
    from espm.ports import Ports

CLOUD = PLATFORMS[0]
NAMES = [Certname(f"n{number}.example.com") for number in range(4)]


@pytest.fixture
def espm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Espm]:
    """An espm whose carrier is a revoker that works when a test says so."""
    monkeypatch.setattr("espm.revoker.PAUSE", 0.0)
    with running(tmp_path, Door("", "")) as started:
        revoker = Revoker(started.ports)
        revoker.work()  # The first look at what was settled before.
        yield replace(started, ports=replace(started.ports, carrier=revoker))


@pytest.fixture
def revoker(espm: Espm) -> Revoker:
    """Return the carrier."""
    assert isinstance(espm.ports.carrier, Revoker)
    return espm.ports.carrier


def add(espm: Espm, *names: Certname) -> None:
    """Add nodes with certificates."""
    for name in names:
        nodes.add_node(CLOUD, name, Classification(), espm.ports, order=Order(), request_id="r")


def delete(espm: Espm, name: Certname, patience: float = 0.0) -> Job | None:
    """Delete a node without waiting for its end."""
    return nodes.delete_node(CLOUD, name, espm.ports, request_id="r", patience=patience)


def job(espm: Espm, of: Job | None) -> Job:
    """Return how a job is now."""
    assert of is not None
    return espm.ledger.job(CLOUD.name, of.intent.ident)


def calls(espm: Espm, method: str) -> list[tuple[str, ...]]:
    """Return the calls of a method of the CA."""
    return [call for call in espm.ca.calls if call[0] == method]


def revoked(espm: Espm, pem: bytes) -> bool:
    """Return whether the CRL shows a certificate."""
    return is_revoked(espm.ca.crl(), pem, espm.ca.bundle())


def test_certificates_that_cannot_be_looked_up_together_are_one_by_one(
    espm: Espm, revoker: Revoker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says why, and no ENC is needed for what is withheld already."""
    add(espm, *NAMES)
    jobs = [delete(espm, name) for name in NAMES]

    def fails(*_: object) -> None:
        msg = "injected"
        raise RuntimeError(msg)

    monkeypatch.setattr(SqlLedger, "certificates_of", fails)
    monkeypatch.setattr(espm.ports.classifier, "withhold", fails)
    revoker.work()

    assert [job(espm, each).state for each in jobs] == [JobState.DONE] * len(NAMES)
    assert f"the certificates of {len(NAMES)} nodes at once: RuntimeError: injected" in caplog.text


def test_the_job_that_is_answered_is_the_one_in_the_ledger(espm: Espm) -> None:
    """It is not read once more for the answer, and says the same."""
    add(espm, NAMES[0])

    answered = delete(espm, NAMES[0])

    assert answered == job(espm, answered)


def test_a_deletion_withholds_at_once_and_revokes_later(espm: Espm, revoker: Revoker) -> None:
    """Before the CA hears of it no catalog is given any more; then it is proved, and over."""
    add(espm, NAMES[0])
    begun = delete(espm, NAMES[0])
    before = espm.document(NAMES[0]) or "", len(calls(espm, "revoke"))
    state = job(espm, begun).state
    revoker.work()

    assert '"withheld"' in before[0]
    assert before[1] == 0
    assert state is JobState.RUNNING
    assert job(espm, begun).state is JobState.DONE
    assert espm.document(NAMES[0]) is None


@pytest.mark.parametrize("heals", [False, True])
def test_what_is_queued_is_one_batch(espm: Espm, revoker: Revoker, *, heals: bool) -> None:
    """Many deletions cost one CRL, and one clean where its losses can be healed."""
    espm.ca.heals = heals
    add(espm, *NAMES)
    pems = [espm.ca.issued[name] for name in NAMES]
    for name in NAMES:
        delete(espm, name)
    espm.ca.calls.clear()
    revoker.work()
    crls = len(calls(espm, "crl"))

    assert crls == 1
    assert len(calls(espm, "clean_all")) == int(heals)
    assert [len(call) for call in calls(espm, "revoke")] == ([] if heals else [2])
    assert all(revoked(espm, pem) for pem in pems)
    assert espm.ca.issued == {}
    assert list(espm.ledger.nodes()) == []


def test_what_a_clean_loses_is_healed_before_it_counts(espm: Espm, revoker: Revoker) -> None:
    """The CA answers well, its CRL lacks them: they are put back and revoked once more."""
    espm.ca.heals = True
    add(espm, *NAMES)
    pems = [espm.ca.issued[name] for name in NAMES]
    jobs = [delete(espm, name) for name in NAMES]
    espm.ca.loses_revocations = True
    revoker.work()

    assert [job(espm, each).state for each in jobs] == [JobState.DONE] * 4
    assert all(revoked(espm, pem) for pem in pems)
    assert len(calls(espm, "heal")) == 4


def test_what_was_proved_counts_though_healing_others_fails(espm: Espm, revoker: Revoker) -> None:
    """The CRL that can't be read a second time takes nothing back from those it has shown."""
    espm.ca.heals = True
    add(espm, *NAMES[:2])
    jobs = [delete(espm, name) for name in NAMES[:2]]
    real, answers = espm.ca.crl, iter([espm.ca.crl, _away])

    def loses_one(certnames: Sequence[Certname]) -> None:
        espm.ca.revoke(certnames[:1])
        for name in certnames:
            espm.ca.clean(name)

    espm.ca.clean_all = loses_one  # type: ignore[method-assign]
    espm.ca.crl = lambda: next(answers)()  # type: ignore[method-assign]  # noqa: PLW0108 - a new one each time
    revoker.work()
    espm.ca.crl = real  # type: ignore[method-assign]

    assert [job(espm, each).state for each in jobs] == [JobState.DONE, JobState.WAITING]


def _away() -> bytes:
    msg = "the CA does not answer"
    raise BackendUnavailable(msg)


def test_without_healing_nothing_is_removed_before_it_is_proved(
    espm: Espm, revoker: Revoker
) -> None:
    """A revocation that the CRL does not show leaves the file where it is, and is tried again."""
    add(espm, NAMES[0])
    espm.ca.loses_revocations = True
    begun = delete(espm, NAMES[0])
    revoker.work()
    waiting, held = job(espm, begun), NAMES[0] in espm.ca.issued
    espm.ca.loses_revocations = False
    espm.ledger.orphan()
    revoker.work()

    assert (waiting.state, waiting.intent.attempts) == (JobState.WAITING, 1)
    assert waiting.due is not None
    assert "the CRL does not show" in (waiting.intent.last_error or "")
    assert held
    assert job(espm, begun).state is JobState.DONE
    assert NAMES[0] not in espm.ca.issued


def test_what_fails_for_one_name_stops_no_other(espm: Espm, revoker: Revoker) -> None:
    """A CA that fails for one certificate settles the others of the batch."""
    add(espm, *NAMES)
    fail_for(espm.ca, NAMES[1], BackendUnavailable("Puppet's server failed with status 500"))
    jobs = [delete(espm, name) for name in NAMES]
    revoker.work()

    done, waits = JobState.DONE, JobState.WAITING
    assert [job(espm, each).state for each in jobs] == [done, waits, done, done]


def test_all_at_once_failing_is_tried_one_by_one(espm: Espm, revoker: Revoker) -> None:
    """A clean that the server refuses costs a deletion nothing but time."""
    espm.ca.heals = True
    espm.ca.fail_before["clean_all"] = BackendUnavailable("500")
    add(espm, *NAMES)
    jobs = [delete(espm, name) for name in NAMES]
    revoker.work()

    assert [job(espm, each).state for each in jobs] == [JobState.DONE] * 4


@pytest.mark.parametrize("error", [Conflict("in the way"), KeyError("a bug")])
@pytest.mark.parametrize("method", ["mark_all", "bury"])
def test_what_the_ledger_does_not_do_at_once_is_done_one_by_one(
    espm: Espm, revoker: Revoker, monkeypatch: pytest.MonkeyPatch, method: str, error: Exception
) -> None:
    """A row that is in the way of a batch stops no other, and neither does a bug."""
    add(espm, *NAMES)
    jobs = [delete(espm, name) for name in NAMES]
    real = getattr(SqlLedger, method)

    def one_at_most(ledger: SqlLedger, *rows: Any) -> Any:
        if method == "mark_all" or len(rows) > 1:
            raise error
        return real(ledger, *rows)

    monkeypatch.setattr(SqlLedger, method, one_at_most)
    revoker.work()

    assert [job(espm, each).state for each in jobs] == [JobState.DONE] * 4
    assert list(espm.ledger.nodes()) == []


def test_what_was_withheld_is_not_withheld_again(
    espm: Espm, revoker: Revoker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who hands a deletion over has done it; after a new start it is done once more."""
    withheld: list[Certname] = []
    enc = type(espm.ports.classifier)
    real = enc.withhold

    def withhold(enc: Any, node: Node) -> None:
        withheld.append(node.certname)
        real(enc, node)

    monkeypatch.setattr(enc, "withhold", withhold)
    add(espm, *NAMES[:2])
    for name in NAMES[:2]:
        delete(espm, name)
    espm.ca.away = True
    revoker.work()
    handed_over = list(withheld)
    espm.ca.away = False
    espm.ledger.orphan()
    revoker.work()

    assert handed_over == NAMES[:2]
    assert sorted(withheld) == sorted([*NAMES[:2]] * 2)
    assert list(espm.ledger.nodes()) == []


@pytest.mark.parametrize("well", [True, False])
def test_who_waits_looks_into_the_ledger_once_or_not_at_all(
    espm: Espm, revoker: Revoker, monkeypatch: pytest.MonkeyPatch, *, well: bool
) -> None:
    """Not before its intent was worked on, not after others' batches, not where all went well."""
    add(espm, *NAMES[:2])
    finish_all = endings.finish_all

    def finished(batch: Sequence[tuple[Node, Intent]], ports: Ports) -> list[Exception]:
        return [*finish_all(batch, ports), *([] if well else [BackendUnavailable("another's")])]

    monkeypatch.setattr("espm.revoker.endings.finish_all", finished)
    first, second = (delete(espm, name) for name in NAMES[:2])
    assert first is not None
    assert second is not None
    looks: list[str] = []
    real = SqlLedger.is_closed

    def looked(ledger: SqlLedger, intent: Intent) -> bool:
        looks.append(intent.ident)
        return real(ledger, intent)

    monkeypatch.setattr(SqlLedger, "is_closed", looked)
    monkeypatch.setattr("espm.revoker.MOST", 1)
    waiting = [wait_for(espm, revoker, each) for each in (first, second)]
    ends = []
    for end in waiting:
        revoker.work()
        ends.append(end())

    assert ends == [True, True]

    assert looks == ([] if well else [first.intent.ident, second.intent.ident])


def wait_for(
    espm: Espm, revoker: Revoker, of: Job | None, seconds: float = 30.0
) -> Callable[[], bool]:
    """Let a thread wait for the end of a job; once it does, return what joins it and says how."""
    assert of is not None
    ends: list[bool] = []
    thread = threading.Thread(
        target=lambda: ends.append(revoker.wait(of.intent, seconds, espm.ports))
    )
    thread.start()
    while of.intent.ident not in revoker._waited_for:
        time.sleep(0.001)

    def end() -> bool:
        thread.join(60)
        return ends[0]

    return end


def test_nobody_is_told_that_it_is_over_because_others_of_the_batch_are(
    espm: Espm, revoker: Revoker
) -> None:
    """The CA fails for one of two names; who waits for that waits on."""
    add(espm, *NAMES[:2])
    fail_for(espm.ca, NAMES[1], BackendUnavailable("Puppet's server failed with status 500"))
    waiting = [wait_for(espm, revoker, delete(espm, name), 0.5) for name in NAMES[:2]]
    revoker.work()

    assert [end() for end in waiting] == [True, False]


@pytest.mark.parametrize(
    ("waited_for", "more", "idle", "expected"),
    [(2, 0, False, True), (1, 0, False, False), (2, 0, True, False), (2, 1, False, False)],
)
def test_those_who_were_answered_are_expected_again_and_nobody_else(
    espm: Espm,
    revoker: Revoker,
    monkeypatch: pytest.MonkeyPatch,
    *,
    waited_for: int,
    more: int,
    idle: bool,
    expected: bool,
) -> None:
    """Those who came meanwhile are added, so *more* is one too few of them here."""
    revoker._window = 0.0
    monkeypatch.setattr("espm.revoker.WINDOW", 0.5)
    add(espm, *NAMES)
    begun = [delete(espm, name) for name in NAMES[:2]]
    waiting = [wait_for(espm, revoker, each) for each in begun[:waited_for]]
    finish = revoker._finish

    def meanwhile(batch: list[tuple[Node, Intent]]) -> None:
        for name in NAMES[2 : 2 + more]:
            delete(espm, name)
        finish(batch)

    monkeypatch.setattr(revoker, "_finish", meanwhile)
    revoker.work()
    for end in waiting:
        end()
    if idle:
        revoker.work()
    for name in NAMES[2 + more :]:
        delete(espm, name)
    started = time.monotonic()
    revoker._gather(50, patience=0.0)

    assert (time.monotonic() - started < revoker._window) is expected


def test_a_silent_ca_is_asked_once_for_all(espm: Espm, revoker: Revoker) -> None:
    """Each call to a CA that hangs costs its whole time, so the rest is left at once."""
    add(espm, *NAMES)
    jobs = [delete(espm, name) for name in NAMES]
    espm.ca.calls.clear()
    espm.ca.fail_before["certificate"] = BackendSilent("no answer in time")
    revoker.work()
    asked = len(calls(espm, "certificate"))
    waiting = [job(espm, each) for each in jobs]
    espm.ca.fail_before.clear()
    espm.ledger.orphan()
    revoker.work()

    assert asked == 1
    assert {each.state for each in waiting} == {JobState.WAITING}
    assert {each.intent.last_error for each in waiting} == {"no answer in time"}
    assert [job(espm, each).state for each in jobs] == [JobState.DONE] * 4


def test_a_silent_ca_leaves_what_is_queued_to_the_ledger(
    espm: Espm, revoker: Revoker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What did not get into the batch is not kept in memory while nobody answers."""
    monkeypatch.setattr("espm.revoker.MOST", 2)
    add(espm, *NAMES)
    jobs = [delete(espm, name) for name in NAMES]
    espm.ca.fail_before["certificate"] = BackendSilent("no answer in time")
    revoker.work()

    assert {job(espm, each).state for each in jobs} == {JobState.WAITING}


def test_a_repeat_tries_at_once_what_waits(espm: Espm, revoker: Revoker) -> None:
    """DELETE of a node whose deletion waits for its time hands it over now."""
    add(espm, NAMES[0])
    first = delete(espm, NAMES[0])
    espm.ca.fail_before["certificate"] = BackendUnavailable("the CA is down")
    revoker.work()
    espm.ca.fail_before.clear()
    again = delete(espm, NAMES[0])
    revoker.work()

    assert first is not None
    assert again is not None
    assert first.intent.ident == again.intent.ident
    assert job(espm, again).state is JobState.DONE


def test_a_deletion_takes_the_place_of_a_revocation_under_way(espm: Espm, revoker: Revoker) -> None:
    """A revocation that hangs keeps nobody from retiring the node."""
    add(espm, NAMES[0])
    revocation = revoke(CLOUD, NAMES[0], espm.ports, request_id="r", patience=0)
    deletion = delete(espm, NAMES[0])
    revoker.work()

    assert job(espm, revocation).state is JobState.SUPERSEDED
    assert job(espm, deletion).state is JobState.DONE
    assert list(espm.ledger.nodes()) == []


def test_whoever_waits_is_told_when_it_is_over(espm: Espm, revoker: Revoker) -> None:
    """A wait ends with the batch, not with its time."""
    add(espm, NAMES[0])
    thread = threading.Thread(target=revoker.run)
    thread.start()
    outcome = delete(espm, NAMES[0], patience=20)
    revoker.end()
    thread.join(20)

    assert outcome is None
    assert not thread.is_alive()


def test_an_end_lets_whoever_waits_answer(espm: Espm, revoker: Revoker) -> None:
    """espm stops without waiting for a CA."""
    add(espm, NAMES[0])
    begun = delete(espm, NAMES[0])
    assert begun is not None
    threading.Timer(0.2, revoker.end).start()

    assert not revoker.wait(begun.intent, 20, espm.ports)


def test_a_bug_stops_only_what_met_it(
    espm: Espm, revoker: Revoker, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left with words that tell nothing, and the log has its traceback."""
    add(espm, *NAMES[:2])
    real = espm.ca.certificate

    def odd(certname: Certname) -> bytes | None:
        return real(certname) if certname == NAMES[0] else 1 / 0  # type: ignore[return-value]

    espm.ca.certificate = odd  # type: ignore[method-assign]
    jobs = [delete(espm, name) for name in NAMES[:2]]
    revoker.work()

    assert job(espm, jobs[0]).state is JobState.DONE
    assert job(espm, jobs[1]).intent.last_error == "internal error; see the log of espm"
    assert "ZeroDivisionError" in caplog.text


def test_a_node_without_certificate_needs_no_ca(espm: Espm) -> None:
    """It is gone at once, whatever the CA does."""
    nodes.add_node(CLOUD, NAMES[0], Classification(), espm.ports, request_id="r")
    espm.ca.fail_before["certificate"] = BackendSilent("no answer in time")

    assert delete(espm, NAMES[0]) is None
    assert list(espm.ledger.nodes()) == []


def test_an_expired_certificate_needs_no_proof(
    espm: Espm, revoker: Revoker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Puppet Server 8.4 drops what has run out from its CRL, so nobody would ever see it there."""
    add(espm, NAMES[0])
    espm.ca.loses_revocations = True
    begun = delete(espm, NAMES[0])
    monkeypatch.setattr("espm.x509.crl.CLOCKS", -timedelta(days=400))
    revoker.work()

    assert job(espm, begun).state is JobState.DONE


def test_a_failed_launch_is_taken_back_by_the_same_thread(espm: Espm, revoker: Revoker) -> None:
    """What the CA signed in spite of all is withheld at once, and revoked when it can be."""
    espm.ca.fail_after["sign"] = BackendUnavailable("the answer was lost")
    thread = threading.Thread(target=revoker.run)
    thread.start()
    try:
        with pytest.raises(BackendUnavailable, match="the answer was lost"):
            add(espm, NAMES[0])
    finally:
        revoker.end()
        thread.join(20)

    assert len(espm.ca.revoked) == 1
    assert list(espm.ledger.nodes()) == []
    assert espm.ledger.backlog().open == {}


def test_the_backlog_tells_what_waits(espm: Espm, revoker: Revoker) -> None:
    """How many of which kind, since when, and why."""
    add(espm, *NAMES[:2])
    espm.ca.fail_before["certificate"] = BackendUnavailable("the CA is down")
    delete(espm, NAMES[0])
    revoker.work()
    delete(espm, NAMES[1])
    backlog = espm.ledger.backlog()

    assert backlog.open == {IntentKind.DELETE: 2}
    assert (backlog.waiting, backlog.last_error) == (1, "the CA is down")
    assert backlog.oldest is not None


def test_a_ca_that_does_not_say_whether_it_heals_keeps_nothing_from_being_tried_again(
    espm: Espm, revoker: Revoker
) -> None:
    """Its failure is the failure of what was to be healed, which is left, and due soon."""
    add(espm, NAMES[0])
    espm.ca.loses_revocations = True
    espm.ca.fail_before["can_heal"] = BackendUnavailable("Puppet's server does not answer")
    begun = delete(espm, NAMES[0])
    revoker.work()

    assert job(espm, begun).state is JobState.WAITING
    assert job(espm, begun).intent.last_error == "Puppet's server does not answer"


@pytest.mark.parametrize(
    ("took", "window"), [(0.0, revoker_module.WINDOW), (2.0, 0.2), (60.0, 0.5)]
)
def test_after_a_long_batch_the_next_is_waited_for_longer(
    espm: Espm, revoker: Revoker, monkeypatch: pytest.MonkeyPatch, took: float, window: float
) -> None:
    """Who was answered by it comes again; in two halves that take turns each would wait twice."""
    moments = iter([0.0, took])
    monkeypatch.setattr("espm.revoker.endings.finish_all", lambda _batch, _ports: [])
    clock = SimpleNamespace(monotonic=lambda: next(moments))
    monkeypatch.setattr("espm.revoker.time", clock)

    revoker._finish([])

    assert revoker._window == pytest.approx(window)


def test_what_fails_for_ever_keeps_nothing_new_waiting(
    espm: Espm, revoker: Revoker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many of them are due each time."""
    monkeypatch.setattr(revoker_module, "MOST", 4)
    monkeypatch.setattr("espm.intents.backoff", lambda _: 0.0)
    failing = [Certname(f"failing{number}.example.com") for number in range(6)]
    add(espm, *failing, NAMES[0])
    real = espm.ca.revoke

    def revoke_most(certnames: Sequence[Certname]) -> None:
        if len(certnames) > 1 or certnames[0] in failing:
            msg = "Puppet's server failed with status 500"
            raise BackendUnavailable(msg)
        real(certnames)

    espm.ca.revoke = revoke_most  # type: ignore[method-assign]
    for name in failing:
        delete(espm, name)
    for _ in range(3):
        revoker.work()
    fresh = delete(espm, NAMES[0])
    for _ in range(3):
        revoker.work()

    assert job(espm, fresh).state is JobState.DONE
