"""What is made of Puppet Server's answer on classes, and how often it is asked."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from espm.catalogue import environment_classes
from espm.catalogue.environment_classes import EnvironmentClasses
from espm.errors import BackendRefused, BackendUnavailable, EnvironmentUnknown
from espm.model import ClassParameter, PuppetClass
from espm.puppet_http import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

ANSWER: dict[str, Any] = {
    "name": "production",
    "files": [
        {
            "path": "/srv/code/modules/ntp/manifests/init.pp",
            "classes": [
                {
                    "name": "ntp",
                    "params": [
                        {
                            "name": "servers",
                            "type": "Array[TypeReference['Stdlib::Host'], 1]",
                            "default_source": "$ntp::p::s",
                        },
                        {"name": "ok", "default_literal": True, "default_source": "true"},
                        {"name": "old", "default_literal": None},
                        {"name": "must", "type": "String"},
                    ],
                },
                {"name": "ntp::a", "params": []},
            ],
        },
        {
            "path": "/srv/code/modules/bad/manifests/x/y.pp",
            "error": "Syntax error at 'x' (file: /srv/code/modules/bad/manifests/x/y.pp, line: 1)",
        },
        {"path": "/srv/code/environments/production/manifests/site.pp", "classes": []},
    ],
}


class Server:
    """A Puppet Server that answers as told and counts."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.answer: Callable[[], Reply] = lambda: Reply(200, json.dumps(ANSWER).encode())

    def call(self, method: str, path: str, **options: Any) -> Reply:
        """Answer one call."""
        self.asked.append((method, path, options["params"]))
        return self.answer()


@pytest.fixture
def server() -> Server:
    """Return a server."""
    return Server()


@pytest.fixture
def catalogue(server: Server) -> EnvironmentClasses:
    """Return a catalogue that remembers for a minute."""
    return EnvironmentClasses(server, 60)


def test_classes_have_their_parameters_types_and_defaults(
    catalogue: EnvironmentClasses, server: Server
) -> None:
    """A parameter is required when the code has no default."""
    found = catalogue.classes("production")

    assert {
        "ntp": PuppetClass(
            "ntp",
            (
                ClassParameter("servers", "Array[Stdlib::Host, 1]", "$ntp::p::s"),
                ClassParameter("ok", None, "true"),
                ClassParameter("old", None, "null"),
                ClassParameter("must", "String", None, required=True),
            ),
        ),
        "ntp::a": PuppetClass("ntp::a"),
    } == found.classes
    expected = ("GET", "/puppet/v3/environment_classes", {"environment": "production"})
    assert [expected] == server.asked


def test_files_that_do_not_parse_are_reported_without_the_servers_paths(
    catalogue: EnvironmentClasses,
) -> None:
    """Authors recognise the file; where the server keeps it stays with the server."""
    assert catalogue.classes("production").unparsable == {
        "bad/manifests/x/y.pp": "Syntax error at 'x' (file: bad/manifests/x/y.pp, line: 1)"
    }


def test_the_etag_changes_exactly_with_the_content(
    catalogue: EnvironmentClasses, server: Server
) -> None:
    """Neither a fresh look nor the order of files is a change; a default is."""
    first = catalogue.classes("production", max_age=0).etag
    turned = {**ANSWER, "files": ANSWER["files"][::-1]}
    server.answer = lambda: Reply(200, json.dumps(turned).encode())
    second = catalogue.classes("production", max_age=0).etag
    changed = json.dumps(ANSWER).replace("$ntp::p::s", "[]")
    server.answer = lambda: Reply(200, changed.encode())

    assert first == second != catalogue.classes("production", max_age=0).etag
    assert len(server.asked) == 3


def test_an_answer_is_kept_for_as_long_as_configured(
    catalogue: EnvironmentClasses, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers may want it younger; each environment has its own."""
    now = 100.0
    monkeypatch.setattr("espm.catalogue.environment_classes.time.monotonic", lambda: now)
    catalogue.classes("production")
    now += 59
    catalogue.classes("production")

    assert len(server.asked) == 1

    catalogue.classes("production", max_age=58)

    assert len(server.asked) == 2

    now += 61
    catalogue.classes("production")
    catalogue.classes("testing")

    assert len(server.asked) == 4


def hanging(server: Server) -> tuple[threading.Event, threading.Event]:
    """Let the server hang; return what tells that it was asked, and what lets it go on."""
    entered, go_on = threading.Event(), threading.Event()
    answer = server.answer

    def slow() -> Reply:
        entered.set()
        assert go_on.wait(10)
        return answer()

    server.answer = slow
    return entered, go_on


def test_callers_share_one_look(catalogue: EnvironmentClasses, server: Server) -> None:
    """Who asks while a look is under way waits for that one."""
    entered, go_on = hanging(server)
    callers = [threading.Thread(target=catalogue.classes, args=("production",)) for _ in range(5)]
    for caller in callers:
        caller.start()
    assert entered.wait(10)
    go_on.set()
    for caller in callers:
        caller.join(10)

    assert len(server.asked) == 1


def test_concurrent_fresh_looks_are_shared_too(
    catalogue: EnvironmentClasses, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten callers that want to look afresh cost two looks: each waits for one that began after
    it asked.
    """
    entered, go_on, asked = threading.Event(), threading.Event(), threading.Semaphore(0)
    answer, find = server.answer, catalogue._look

    def slow() -> Reply:
        entered.set()
        assert go_on.wait(10)
        return answer()

    def noted(environment: str) -> object:
        asked.release()
        return find(environment)

    server.answer = slow
    monkeypatch.setattr(catalogue, "_look", noted)

    with ThreadPoolExecutor(10) as pool:
        pool.submit(catalogue.classes, "production", max_age=0)
        assert entered.wait(10)
        for _ in range(9):
            pool.submit(catalogue.classes, "production", max_age=0)
        for _ in range(10):
            assert asked.acquire(timeout=10)
        go_on.set()

    assert len(server.asked) == 2


def test_a_failed_look_leaves_the_one_before(catalogue: EnvironmentClasses, server: Server) -> None:
    """Who needed it fresh gets the error, the others what is known."""
    found = catalogue.classes("production")

    def failing() -> Reply:
        msg = "down"
        raise BackendUnavailable(msg)

    server.answer = failing
    with pytest.raises(BackendUnavailable):
        catalogue.classes("production", max_age=0)

    assert found is catalogue.classes("production")


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (Reply(404, b"x"), EnvironmentUnknown, "environment 'dev' does not exist"),
        (Reply(403, b"x"), BackendRefused, "auth.conf needs espm's rule"),
        (Reply(200, b"<html>"), BackendUnavailable, "not JSON"),
        (Reply(200, b"[]"), BackendUnavailable, "can't be understood"),
        (Reply(200, b'{"files": [{"classes": [1]}]}'), BackendUnavailable, "understood"),
        (Reply(200, b'{"files": [{"error": 1}]}'), BackendUnavailable, "understood"),
    ],
)
def test_other_answers_are_errors(
    reply: Reply, error: type[Exception], words: str, catalogue: EnvironmentClasses, server: Server
) -> None:
    """Each says what it means, in words for the caller."""
    server.answer = lambda: reply
    with pytest.raises(error, match=words):
        catalogue.classes("dev")


@pytest.mark.parametrize("name", ["", "Prod", "a/b", "../x", "a b", "é", "a\n", "a" * 256, "a.b"])
def test_what_is_no_environments_name_is_not_asked_for(
    name: str, catalogue: EnvironmentClasses, server: Server
) -> None:
    """It would become part of a path on the server."""
    with pytest.raises(EnvironmentUnknown, match="not an environment name"):
        catalogue.classes(name)

    assert server.asked == []


def test_the_number_of_remembered_environments_is_bounded(
    catalogue: EnvironmentClasses, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of environments that somebody makes up don't fill the memory."""
    monkeypatch.setattr(environment_classes, "REMEMBERED", 2)
    for name in ("a", "b", "a", "c", "a"):
        catalogue.classes(name)

    assert {"c", "a"} == set(catalogue._looks)
    assert len(server.asked) == 3


def test_whoever_is_content_waits_for_no_look(
    catalogue: EnvironmentClasses, server: Server
) -> None:
    """While somebody looks afresh, others get at once what is young enough for them."""
    before = catalogue.classes("production")
    entered, go_on = hanging(server)
    with ThreadPoolExecutor(2) as pool:
        fresh = pool.submit(catalogue.classes, "production", max_age=0)
        assert entered.wait(10)
        try:
            assert pool.submit(catalogue.classes, "production").result(1) is before
        finally:
            go_on.set()
        assert fresh.result(10) is not before
