"""The boundary itself: who may call, what is HTTP, what is JSON, what every answer has."""

from __future__ import annotations

import json
import logging
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from espm import health
from espm.api import kinds
from espm.api.faults import NotJson
from espm.api.parsing import parse_json
from espm.api.routes import ROUTES
from espm.errors import BackendUnavailable, EspmError
from espm.server import framing
from tests.api.platform import BODY_LIMIT, PSK
from tests.api.test_nodes import NAME, slug
from tests.api.wire import wait_until
from tests.fake_catalogue import puppet_class

if TYPE_CHECKING:
    from tests.api.platform import Client, Espm


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        f"Basic {PSK}",
        f"Bearer {PSK}x",
        PSK,
        "Bearer \xfc".encode("latin-1"),
    ],
)
def test_without_the_key_nobody_gets_in(espm: Espm, header: Any) -> None:
    """No key or a wrong one is 401 with WWW-Authenticate and the same words for all."""
    headers = {} if header is None else {"Authorization": header}
    stranger = espm.client(psk=None)
    for path in ("/v1/whoami", "/v1/nodes/x", "/v1/nothing"):
        answer = stranger.get(path, headers=headers)

        assert slug(answer) == "unauthenticated"
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="espm"'
        assert "send the preshared key" in answer.json()["detail"]


def test_a_failed_authentication_is_logged_with_its_peer(
    espm: Espm, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the address, and never what was sent as key."""
    with caplog.at_level(logging.INFO):
        espm.client("secret-guess").get("/v1/whoami")

    assert "authentication failed from 127.0.0.1" in caplog.text
    assert "secret-guess" not in caplog.text


@pytest.mark.timing
def test_many_failures_are_told_to_wait(
    espm: Espm, cloud: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """The eleventh wrong key is 429 and no line; a right one from the same address is served."""
    stranger = espm.client("wrong")
    with caplog.at_level(logging.INFO, "espm.api.auth"):
        answers = [stranger.get("/v1/whoami") for _ in range(12)]

    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert slug(answers[-1]) == "too-many-failures"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 6
    assert "WWW-Authenticate" not in answers[-1].headers
    assert caplog.messages.count("authentication failed from 127.0.0.1") == 10
    assert cloud.get("/v1/whoami").status_code == 200


def test_no_secret_is_logged(espm: Espm, cloud: Client, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the preshared key nor a private key is in the log, errors included."""
    with caplog.at_level(logging.DEBUG):
        key = cloud.add(NAME, certificate={}).json()["certificate"]["private_key"]
        espm.ca.crl = lambda: 1 / 0  # type: ignore[method-assign, assignment, return-value]
        assert slug(cloud.get("/v1/crl")) == "internal-error"

    assert "ZeroDivisionError" in caplog.text
    assert PSK not in caplog.text
    assert key.splitlines()[1] not in caplog.text


def test_an_unexpected_error_tells_nothing(espm: Espm, cloud: Client) -> None:
    """A bug answers 500 with the request id and neither a path nor a traceback."""
    espm.ca.crl = lambda: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    answer = cloud.get("/v1/crl", headers={"X-Request-Id": "find-me"})

    assert answer.status_code == 500
    assert answer.json()["instance"] == "urn:espm:request:find-me"
    assert answer.json()["detail"] == "see the log of espm for this request"


def test_the_request_id_is_taken_or_made(cloud: Client) -> None:
    """A good X-Request-Id comes back, a bad one is replaced, a missing one is made."""
    assert cloud.get("/healthz", headers={"X-Request-Id": "a-1"}).headers["X-Request-Id"] == "a-1"
    made = cloud.get("/healthz", headers={"X-Request-Id": "a b" * 40}).headers["X-Request-Id"]
    assert len(made) == 32
    assert len(cloud.get("/nothing").headers["X-Request-Id"]) == 32


def test_one_line_for_each_request(cloud: Client, caplog: pytest.LogCaptureFixture) -> None:
    """The log has who asked what and how it ended."""

    def lines() -> list[str]:
        return [each.getMessage() for each in caplog.records if each.name == "espm.api.app"]

    with caplog.at_level(logging.INFO, "espm.api.app"):
        cloud.get("/v1/nodes/x")
        # The line is written when the answer is out.
        assert wait_until(lambda: any('"GET /v1/nodes/x" 404 ' in line for line in lines()))
    mine = [line for line in lines() if "/v1/nodes/x" in line]
    assert len(mine) == 1
    assert mine[0].startswith("127.0.0.1 cloud ")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/v1/whoami", "GET, HEAD"),
        ("PATCH", "/v1/nodes/x", "DELETE, GET, HEAD, PUT"),
        ("OPTIONS", "/v1/nodes", "GET, HEAD, POST"),
        ("DELETE", "/healthz", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_405(cloud: Client, method: str, path: str, allow: str) -> None:
    """Allow names what the path takes."""
    answer = cloud.call(method, path)

    assert slug(answer) == "method-not-allowed"
    assert answer.headers["Allow"] == allow


@pytest.mark.parametrize(
    ("body", "content_type", "kind"),
    [
        (b"{}", "text/plain", "unsupported-media-type"),
        (b"{}", None, "unsupported-media-type"),
        (b"", "application/json", "not-json"),
        (b"{", "application/json", "not-json"),
        (b"\xff", "application/json", "not-json"),
        (b'{"certname": NaN}', "application/json", "not-json"),
        (b'{"parameters": {"a": 1e999}}', "application/json", "not-json"),
        (b'{"a": 1, "a": 2}', "application/json", "not-json"),
        (b'{"a": "\\ud800"}', "application/json", "not-json"),
        (b'{"a": "\\u0000"}', "application/json", "not-json"),
        (b"[" * 30000, "application/json", "not-json"),
        (b'{"a": ' * 40 + b"1" + b"}" * 40, "application/json", "not-json"),
        (b"1" * 5000, "application/json", "not-json"),
        (b" " * (BODY_LIMIT + 1), "application/json", "body-too-large"),
        (b"7", "application/json; charset=utf-8", "invalid-request"),
    ],
)
def test_what_is_not_json_is_refused(
    cloud: Client, body: bytes, content_type: str | None, kind: str
) -> None:
    """Wrong types are 415, what is no JSON 400, what is too large 413."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = cloud.call("POST", "/v1/nodes", data=body, headers=headers)

    assert slug(answer) == kind


def test_whoami_says_who_and_what(cloud: Client) -> None:
    """whoami has the platform's name, limits and the versions, and no key."""
    body = cloud.get("/v1/whoami").json()

    assert body["platform"] == "cloud"
    assert body["limits"]["environments"] == ["production", "staging"]
    assert body["puppet"] == "7.9.5"
    assert body["backends"] == {"ca": "fake", "classifier": "builtin"}
    assert body["can"]["ca"] == ["sign-csr"]
    assert "classes" in body["can"]["classifier"]
    assert "psk" not in json.dumps(body)


def test_groups_are_those_within_limits(cloud: Client, narrow: Client) -> None:
    """A platform sees the groups that it may use."""
    names = [group["name"] for group in cloud.get("/v1/groups").json()["groups"]]

    assert names == ["base", "staging", "web"]
    assert [group["name"] for group in narrow.get("/v1/groups").json()["groups"]] == ["web"]


def test_classes_have_parameters_and_an_etag(espm: Espm, cloud: Client, narrow: Client) -> None:
    """GET /v1/classes tells type and default, answers 304, and looks afresh when asked to."""
    answer = cloud.get("/v1/classes")
    tag = answer.headers["ETag"]
    found: dict[str, Any] = {each["name"]: each for each in answer.json()["classes"]}

    assert found["profile::web"]["parameters"][1] == {
        "name": "docroot",
        "type": "String",
        "default": None,
        "required": True,
    }
    assert cloud.get("/v1/classes", headers={"If-None-Match": tag}).status_code == 304
    cloud.get("/v1/classes", headers={"Cache-Control": "no-cache"})
    assert espm.catalogue.looks[-1] == 0
    assert [each["name"] for each in narrow.get("/v1/classes").json()["classes"]] == [
        "profile::web"
    ]
    assert cloud.get("/v1/classes?environment=nope").status_code == 403


def test_ca_and_crl_are_pem(espm: Espm, cloud: Client) -> None:
    """The CA's bundle and CRL come as PEM, with an ETag that saves sending them again."""
    bundle = cloud.get("/v1/ca")

    assert bundle.content == espm.ca.bundle()
    assert bundle.headers["Content-Type"] == "application/x-pem-file"
    assert b"X509 CRL" in cloud.get("/v1/crl").content
    tag = {"If-None-Match": bundle.headers["ETag"]}
    assert cloud.get("/v1/ca", headers=tag).status_code == 304


def test_health_is_for_everybody(espm: Espm) -> None:
    """healthz says that we run, readyz what does not; neither needs a key."""
    stranger = espm.client(psk=None)

    assert stranger.get("/healthz").json() == {"status": "ok"}
    assert stranger.get("/readyz").status_code == 200
    espm.ca.fail_before["version"] = BackendUnavailable("the CA does not answer")
    answer = stranger.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["ca"] == {"status": "down", "reason": "the CA does not answer"}
    assert answer.json()["ledger"] == {"status": "ok"}


def test_a_ca_that_hangs_keeps_nobody_from_knowing_what_is_ready(
    espm: Espm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A balancer of load gives up long before a call to Puppet does."""
    monkeypatch.setattr(health, "_MOMENT", 0.05)
    go_on = Event()
    monkeypatch.setattr(espm.ca, "version", lambda: go_on.wait(20))
    begun = monotonic()
    answer = espm.client(psk=None).get("/readyz")
    took = monotonic() - begun
    go_on.set()

    assert took < 10
    assert answer.json()["ledger"] == {"status": "ok"}


def test_every_problem_has_a_page(espm: Espm) -> None:
    """The type of each problem is a path that explains it."""
    stranger = espm.client()
    stranger.get("/v1/whoami")  # The server slows a connection that asks much and is nobody's.
    stranger.psk = None
    for kind in kinds.BY_SLUG.values():
        answer = stranger.get(kind.type)

        assert answer.status_code == 200
        assert kind.meaning in answer.text
        assert kind.remedy in answer.text
    assert stranger.get("/problems/nothing").status_code == 404


def test_what_the_server_refuses_has_a_page() -> None:
    """The problem types that the server answers by itself are documented like the others."""
    for status, name in framing.PROBLEMS.items():
        assert kinds.BY_SLUG[name].status == status


def _subclasses(root: type[Any]) -> set[type[Any]]:
    below: list[type[Any]] = root.__subclasses__()
    return {root}.union(*(_subclasses(each) for each in below))


def test_every_error_has_a_problem_type() -> None:
    """No error that a request can meet reaches the platform as a bare 500."""
    abstract = {
        "EspmError", "HttpFault", "Unauthenticated", "Forbidden", "Conflict", "BackendError"
    }  # fmt: skip
    at_start = {"ConfigError", "GroupsError", "LedgerLocked", "MigrationNeeded"}
    ours = {each for each in _subclasses(EspmError) if each.__module__.startswith("espm.")}
    unmapped = {
        each.__name__ for each in ours if not any(cls in kinds.PROBLEMS for cls in each.__mro__)
    }

    assert unmapped <= abstract | at_start


def test_slugs_are_unique() -> None:
    """Two kinds of error never share a page by accident."""
    slugs = [kind.slug for kind in kinds.PROBLEMS.values()]

    assert len(set(slugs)) == len(slugs)


def test_open_routes_are_the_known_ones() -> None:
    """Nothing of /v1 is open, and what is open tells nothing about nodes."""
    assert {route.path for route in ROUTES if route.open} == {
        "/healthz",
        "/readyz",
        "/problems/{slug}",
    }


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Odd": "=?nosuch?q?a?="},
        {"X-Odd": "=?utf-8?b?a?="},
        {"Cookie": "@=1"},
        {"Cookie": "[=1"},
        {"Range": "bytes=9-1"},
    ],
)
@pytest.mark.parametrize("path", ["/healthz", "/v1/nodes"])
def test_headers_that_nobody_asked_for_break_nothing(
    espm: Espm, path: str, headers: dict[str, str]
) -> None:
    """What CherryPy would decode, and fail at in HTML, is not even looked at."""
    answer = espm.client(psk=None).get(path, headers=headers)

    assert answer.status_code == (200 if path == "/healthz" else 401)
    assert "json" in answer.headers["Content-Type"]


def test_a_query_that_is_no_utf8_is_refused(espm: Espm, cloud: Client) -> None:
    """Strangers are told to authenticate, a platform what is wrong."""
    assert espm.client(psk=None).get("/v1/nodes?a=%ff").status_code == 401
    assert slug(cloud.get("/v1/nodes?limit=%ff")) == "invalid-request"


@pytest.mark.parametrize(
    "header", ["", ",", ", ,", "{}", "1.1", '"1.1', '"1.1" "1.2"', '*, "1.1"', "W/1.1", "**"]
)
def test_an_if_match_without_entity_tags_deletes_nothing(cloud: Client, header: str) -> None:
    """A script with an empty variable, or one that lost the quotes, keeps its protection."""
    cloud.add(NAME)
    answer = cloud.call("DELETE", f"/v1/nodes/{NAME}", headers={"If-Match": header})

    assert slug(answer) == "invalid-request"
    assert cloud.get(f"/v1/nodes/{NAME}").status_code == 200


def test_many_unknown_names_cost_little(espm: Espm, cloud: Client) -> None:
    """Guesses are for a few names; a long list of wrong ones gets none."""
    espm.catalogue.known = {f"known{each}": puppet_class(f"known{each}") for each in range(1000)}
    begun = monotonic()
    answer = cloud.add(NAME, classes=[f"unknown{each}" for each in range(1500)])

    assert slug(answer) == "invalid-classification"
    assert len(answer.json()["errors"]) == 1500
    assert monotonic() - begun < 30  # comparing them all takes minutes


def test_a_repeated_name_is_found_at_once() -> None:
    """The cost of looking grows with the body, not with its square."""
    names = ",".join(f'"a{each}":1' for each in range(20000))
    begun = monotonic()
    with pytest.raises(NotJson, match="is repeated"):
        parse_json(f'{{{names},"a19999":1}}'.encode())

    assert monotonic() - begun < 5  # counting each name takes ten times that


def test_an_if_match_that_lost_its_quotes_is_refused_afterwards_too(cloud: Client) -> None:
    """It is not right because the node is deleted already."""
    cloud.add(NAME)
    cloud.call("DELETE", f"/v1/nodes/{NAME}")
    answer = cloud.call("DELETE", f"/v1/nodes/{NAME}", headers={"If-Match": "{}"})

    assert slug(answer) == "invalid-request"


@pytest.mark.parametrize("header", ['{}, "x"', '"x",W/{}', "*", ', {} , "a,b"'])
def test_an_etag_is_known_in_every_form_of_a_list(cloud: Client, header: str) -> None:
    """A list may have other tags and empty elements, and a proxy may have weakened ours."""
    tag = cloud.get("/v1/ca").headers["ETag"]
    given = {"If-None-Match": header.replace("{}", tag)}

    assert cloud.get("/v1/ca", headers=given).status_code == 304


@pytest.mark.parametrize("path", ["/v1/ca", "/v1/crl", "/v1/groups", "/healthz", "/readyz"])
def test_a_query_that_a_path_does_not_take_is_refused(cloud: Client, path: str) -> None:
    """A misspelt parameter is not lost silently, wherever it is."""
    assert slug(cloud.get(f"{path}?x=1")) == "invalid-request"
