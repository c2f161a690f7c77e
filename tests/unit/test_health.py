"""Readiness: each part with its reason, and no flood of questions at Puppet's door."""

from __future__ import annotations

from threading import Event, Thread
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from espm import health
from espm.errors import BackendUnavailable, LedgerLocked
from espm.model import Backlog
from tests.fakes import FakeCa


def _ports(**broken: Exception) -> Any:
    def ping(name: str) -> SimpleNamespace:
        def answer() -> None:
            if name in broken:
                raise broken[name]

        return SimpleNamespace(ping=answer)

    ca = FakeCa()
    if "ca" in broken:
        ca.fail_before["version"] = broken["ca"]
    ledger = ping("ledger")
    ledger.backlog = lambda: Backlog({"delete": 2}, waiting=1)
    return SimpleNamespace(ledger=ledger, classifier=ping("enc"), ca=ca)


@pytest.mark.parametrize("name", ["ledger", "enc", "ca"])
def test_each_part_has_its_own_reason(name: str) -> None:
    """One that is down takes no other with it."""
    reasons = health.Readiness(_ports(**{name: BackendUnavailable("it is away")})).reasons()

    assert reasons == {"ledger": None, "enc": None, "ca": None} | {name: "it is away"}


def test_a_ledger_that_is_not_ours_alone_is_down() -> None:
    """The lock is looked at as well as the ledger."""

    def lost() -> None:
        msg = "another espm has it"
        raise LedgerLocked(msg)

    assert health.Readiness(_ports(), confirm=lost).reasons()["ledger"] == "another espm has it"


def test_an_answer_serves_for_a_while() -> None:
    """Puppet is asked once for many callers, and again when the answer is old."""
    ports = _ports()
    kept = health.Readiness(ports, max_age=3600)
    for _ in range(5):
        kept.reasons()
    once = len(ports.ca.calls)
    stale = health.Readiness(ports, max_age=-1)
    for _ in range(3):
        stale.reasons()

    assert (once, len(ports.ca.calls)) == (1, 4)


def test_a_part_that_hangs_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one caller waits for the CA, the others are told so at once."""
    now = [0.0]
    monkeypatch.setattr("espm.health.time", SimpleNamespace(monotonic=lambda: now[0]))
    ports, entered, go_on = _ports(), Event(), Event()

    def hang() -> str:
        entered.set()
        go_on.wait(10)
        return "7.9.5"

    readiness = health.Readiness(ports, max_age=5)
    readiness.reasons()
    ports.ca.version = hang
    now[0] = 10
    first = Thread(target=readiness.reasons)
    first.start()
    assert entered.wait(10)
    now[0] = 22
    told = readiness.reasons()
    go_on.set()
    first.join()

    assert told == {"ledger": None, "enc": None, "ca": "no answer for 12 s"}


def test_the_version_is_that_last_seen() -> None:
    """It is still known while the CA is away, and None before it was ever seen."""
    ports = _ports(ca=BackendUnavailable("away"))
    readiness = health.Readiness(ports, max_age=-1)
    never = readiness.puppet_version()
    ports.ca.fail_before.clear()
    seen = readiness.puppet_version()
    ports.ca.fail_before["version"] = BackendUnavailable("away")

    assert (never, seen, readiness.puppet_version()) == (None, "7.9.5", "7.9.5")


def test_a_bug_is_not_taken_for_an_outage() -> None:
    """Only what espm raises on purpose is a reason; the rest is reported as the bug it is."""
    with pytest.raises(ZeroDivisionError):
        health.Readiness(_ports(enc=ZeroDivisionError())).reasons()


def test_what_is_open_is_known_as_long_as_the_ledger_is_there() -> None:
    """The backlog is looked at with the ledger, and not told from memory when that is away."""
    ports = _ports()
    readiness = health.Readiness(ports, max_age=-1)
    before = readiness.backlog
    readiness.reasons()
    there = readiness.backlog
    ports.ledger.backlog = lambda: 1 / 0
    ports.ledger.ping = _raising(BackendUnavailable("away"))
    readiness.reasons()

    assert (before, there, readiness.backlog) == (None, Backlog({"delete": 2}, waiting=1), None)


def test_a_glance_waits_for_no_part_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives what is known, and leaves the looking to a thread that goes on."""
    monkeypatch.setattr(health, "_MOMENT", 0.05)
    ports, go_on = _ports(), Event()
    readiness = health.Readiness(ports, max_age=-1)
    readiness.reasons()
    ports.ledger.ping = _raising(BackendUnavailable("away"))
    ports.ca.version = lambda: go_on.wait(10)
    begun = monotonic()
    told = readiness.glance()
    took = monotonic() - begun
    go_on.set()

    assert told["ledger"] == "away"
    assert took < 5


def test_a_glance_looks_afresh_when_the_answer_is_old() -> None:
    """It is as fresh as any other answer, and as seldom a look."""
    ports = _ports(ca=BackendUnavailable("away"))
    readiness = health.Readiness(ports, max_age=3600)

    assert [readiness.glance()["ca"] for _ in range(3)] == ["away"] * 3
    assert len(ports.ca.calls) == 1


def test_a_look_that_is_over_does_not_count_as_one_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who comes while another has just begun, long after the last look, is told what is known."""
    now = [0.0]
    monkeypatch.setattr("espm.health.time", SimpleNamespace(monotonic=lambda: now[0]))
    readiness = health.Readiness(_ports(), max_age=5)
    readiness.reasons()
    now[0] = 300
    with readiness._lock:
        told = readiness.reasons()

    assert told == {"ledger": None, "enc": None, "ca": None}


def _raising(error: Exception) -> Any:
    def raising() -> None:
        raise error

    return raising
