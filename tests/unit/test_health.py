"""Readiness: each part with its reason, and no flood of questions at Puppet's door."""

from __future__ import annotations

from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest

from espm import health
from espm.errors import BackendUnavailable, LedgerLocked
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
    return SimpleNamespace(ledger=ping("ledger"), classifier=ping("enc"), ca=ca)


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
