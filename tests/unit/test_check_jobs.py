"""``espm check`` on what waits, and on what may be done at the CA with ``ca_scope = full``."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from espm import check, config
from espm.ca.http_api import HttpApi
from espm.check import puppet, state
from espm.check.finding import Context, State
from espm.ledger import open_ledger, upgrade
from espm.model import Certname, Classification, IntentKind
from espm.puppet_http import Reply
from tests.configsamples import Sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Make = Callable[..., Any]


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """Return a configuration that is right, with a ledger in scratch."""
    made = Sample.make(tmp_path)
    made.set("ledger", url=f"sqlite:///{tmp_path}/ledger.db")
    upgrade(f"sqlite:///{tmp_path}/ledger.db")
    return made


@pytest.fixture
def make(sample: Sample) -> Make:
    """Return what makes a context: with keys of [ca], a CA that heals or not, and its answer."""

    def made(*, heals: bool = False, clean: int = 200, scope: str = "", **ca: str) -> Any:
        sample.set("ca", **ca)
        if scope:
            sample.set("http_api", ca_scope=scope)
        context: Any = Context(config.load(sample.write()))
        context.ca = SimpleNamespace(can_heal=lambda: heals)
        asked: list[tuple[str, str, object]] = []

        def call(method: str, path: str, *, json: object = None, **_: object) -> Reply:
            asked.append((method, path, json))
            return Reply(clean if method == "PUT" else 404, b"")

        context.ca_server = SimpleNamespace(call=call, asked=asked)
        return context

    return made


def test_no_jobs_are_none(make: Make) -> None:
    """A ledger at rest has nothing to say."""
    [finding] = state.jobs(make())

    assert (finding.state, finding.what) == (State.OK, "none")


def test_jobs_that_wait_are_a_warning_with_the_last_error(make: Make, sample: Sample) -> None:
    """The line says how many, since when, why, and that nothing has to be started anew."""
    context = make()
    with open_ledger(context.config.ledger_url) as ledger:
        node, intent = ledger.reserve(
            Certname("a.example.com"), "cloud", Classification(), request_id="1"
        )
        [under_way] = state.jobs(context)
        ledger.leave(intent, "the CA is away", delay=60)

    [finding] = state.jobs(context)

    assert (under_way.state, under_way.what) == (State.OK, "1 job under way")
    assert (node.certname, intent.kind) == ("a.example.com", IntentKind.ADD)
    assert finding.state is State.WARN
    assert re.fullmatch(
        r"1 job waits for another try, since 20\d\d-\S+Z: the CA is away", finding.what
    )
    assert "espm tries again by itself" in finding.remedy


def test_jobs_are_not_looked_at_in_a_ledger_that_is_away(make: Make, sample: Sample) -> None:
    """The line of the ledger has said it."""
    sample.set("ledger", url=f"sqlite:///{sample.directory}/none.db")
    rows = [row for row in check.CHECKS if row[0] in {"ledger", "jobs"}]

    assert [f.state for f in check.look(make(), rows)] == [State.FAIL, State.SKIP]


@pytest.mark.parametrize(
    ("heals", "keys", "expected", "word"),
    [
        (True, {"signed_dir": "/ca/signed"}, State.OK, "can be healed"),
        (True, {"scope": "full", "signed_dir": "/ca/signed"}, State.OK, "can be healed"),
        (True, {"scope": "full"}, State.FAIL, "signed_dir is empty; so clean is not used"),
        (False, {}, State.OK, "signed_dir is empty"),
        (False, {"signed_dir": "/ca/signed"}, State.WARN, "/ca/signed is not the CA's, or closed"),
        (False, {"scope": "full"}, State.FAIL, "signed_dir is empty; so clean is not used"),
        (False, {"scope": "full", "signed_dir": "/ca/signed"}, State.FAIL, "clean is not used"),
    ],
)
def test_healing_is_a_fault_only_where_it_is_relied_on(
    make: Make, *, heals: bool, keys: dict[str, str], expected: State, word: str
) -> None:
    """clean loses revocations, so without healing espm does not use it, whatever was configured."""
    [finding] = puppet.healing(make(heals=heals, **keys))

    assert finding.state is expected
    assert word in finding.what
    assert ("signed certificates" in finding.remedy) == (expected is not State.OK)
    assert ("ca_scope = prefix" in finding.remedy) == (expected is State.FAIL)


@pytest.mark.parametrize(
    ("keys", "puts", "expected", "word"),
    [
        ({}, False, State.OK, "handed in by calls ([ca] requests_dir is empty)"),
        ({"requests_dir": "/ca/requests"}, True, State.OK, "are put into /ca/requests"),
        ({"requests_dir": "/ca/requests"}, False, State.WARN, "is not the CA's, or closed"),
    ],
)
def test_how_csrs_are_handed_in_is_said(
    make: Make, *, keys: dict[str, str], puts: bool, expected: State, word: str
) -> None:
    """A directory that can't be used costs calls and no more, so it is a warning."""
    context = make(**keys)
    context.ca = Mock(spec=HttpApi, puts=lambda: puts)

    [finding] = puppet.handing_in(context)

    assert finding.state is expected
    assert word in finding.what
    assert bool(finding.remedy) == (expected is State.WARN)


@pytest.mark.parametrize(
    ("status", "expected"), [(200, State.OK), (403, State.FAIL), (404, State.FAIL)]
)
def test_with_full_scope_the_right_to_clean_is_tried(
    make: Make, status: int, expected: State
) -> None:
    """It is asked to clean nobody; the rule that is missing is named."""
    context = make(scope="full", clean=status)

    *_, finding = puppet.rights(context)

    assert context.ca_server.asked[-1] == ("PUT", "/puppet-ca/v1/clean", {"certnames": []})
    assert finding.state is expected
    assert ('"^/puppet-ca/v1/clean$"' in finding.remedy) == (expected is State.FAIL)


def test_with_prefix_scope_nobody_is_asked_to_clean(make: Make) -> None:
    """What is not needed is not tried."""
    context = make()

    assert [finding.state for finding in puppet.rights(context)] == [State.OK]
    assert {method for method, *_ in context.ca_server.asked} == {"GET"}
