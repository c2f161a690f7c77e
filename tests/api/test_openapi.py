"""The contract at /v1/openapi.json: that it is valid, whole, and that answers are held to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests
from openapi_spec_validator import validate

from espm.api.kinds import BY_SLUG
from espm.api.routes import ROUTES, contract
from tests.api import contract as contracts
from tests.api.test_nodes import slug

if TYPE_CHECKING:
    from tests.api.platform import Client, Espm

DOCUMENT = json.loads(contract())

#: Names that generated clients are built on; what is here once stays as it is.
IDENTS = {
    "whoami",
    "listGroups",
    "listClasses",
    "listNodes",
    "addNode",
    "getNode",
    "changeNode",
    "deleteNode",
    "getCertificate",
    "issueCertificate",
    "revokeCertificate",
    "getJob",
    "getCa",
    "getCrl",
    "getOpenapi",
    "getHealth",
    "getReadiness",
    "getMetrics",
    "getProblem",
}


def operations() -> dict[tuple[str, str], Any]:
    """Return every operation of the document by method and path."""
    return {
        (method.upper(), path): operation
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
    }


def test_it_is_served_to_platforms(espm: Espm, cloud: Client) -> None:
    """It needs a key as everything below /v1/ does, and has an ETag."""
    answer = cloud.get("/v1/openapi.json")

    assert answer.content == contract()
    assert answer.headers["Content-Type"] == "application/json"
    tag = {"If-None-Match": answer.headers["ETag"]}
    assert cloud.get("/v1/openapi.json", headers=tag).status_code == 304
    assert slug(espm.client(psk=None).get("/v1/openapi.json")) == "unauthenticated"


def test_it_is_valid() -> None:
    """It is OpenAPI 3.1, and every schema and reference in it is right."""
    validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1.")


def test_it_has_every_route_and_no_other() -> None:
    """Methods, paths, query parameters and who may call are those that requests are matched by."""
    found = operations()

    assert list(found) == [(route.method, route.path) for route in ROUTES]
    for route in ROUTES:
        operation = found[route.method, route.path]
        parameters = [contracts.resolved(each) for each in operation["parameters"]]
        assert [p["name"] for p in parameters if p["in"] == "query"] == [*route.query]
        assert (operation.get("security") == []) == route.open
        assert ("Idempotency-Key" in {p["name"] for p in parameters}) == route.keyed


def test_the_names_of_operations_stay() -> None:
    """An operationId that was published is never taken away or changed."""
    assert sorted(IDENTS) == sorted(each["operationId"] for each in operations().values())


def test_every_problem_is_somewhere() -> None:
    """Each kind of problem is an answer of some operation, but for the one of no method here."""
    text = json.dumps([each["responses"] for each in operations().values()])
    unused = {
        kind for kind in BY_SLUG if f"responses/{kind}" not in text and not _named(kind, text)
    }

    assert unused == {"method-not-allowed", "method-not-implemented"}


def _named(kind: str, text: str) -> bool:
    return f'schemas/{"".join(map(str.capitalize, kind.split("-")))}Problem"' in text


def answered(status: int, body: Any = None, **headers: str) -> requests.Response:
    """Return an answer to GET of a node that did not come from espm."""
    answer = requests.Response()
    answer.status_code = status
    answer.url = "https://espm.example.com/v1/nodes/web1.example.com"
    answer.request = requests.Request("GET", answer.url).prepare()
    answer._content = b"" if body is None else json.dumps(body).encode()
    answer.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return answer


GOOD = {"X_Request_Id": "a", "Cache_Control": "no-store", "Content_Type": "application/json"}
NODE = {
    "certname": "web1.example.com",
    "state": "active",
    "generation": 1,
    "version": 1,
    "environment": None,
    "groups": [],
    "classes": {},
    "parameters": {},
    "created": "2026-11-21T04:20:20Z",
    "updated": "2026-11-21T04:20:20Z",
}


def test_a_good_answer_keeps_the_contract() -> None:
    """The tests' own check lets a right answer pass."""
    contracts.check(answered(200, NODE, ETag='"1.1"', **GOOD))


@pytest.mark.parametrize(
    "bad",
    [
        answered(200, NODE, **GOOD),
        answered(200, NODE, ETag="1.1", **GOOD),
        answered(200, NODE | {"more": 1}, ETag='"1.1"', **GOOD),
        answered(200, NODE | {"state": "gone"}, ETag='"1.1"', **GOOD),
        answered(200, {}, ETag='"1.1"', **GOOD),
        answered(200, NODE, ETag='"1.1"', **GOOD | {"Content_Type": "text/html"}),
        answered(202, NODE, ETag='"1.1"', **GOOD),
        answered(409, NODE, ETag='"1.1"', **GOOD),
        answered(404, NODE, **GOOD | {"Content_Type": "application/problem+json"}),
    ],
    ids=range(9),
)
def test_a_bad_answer_does_not(bad: requests.Response) -> None:
    """Every API test fails when an answer has what the contract does not know, or lacks of it."""
    with pytest.raises(AssertionError):
        contracts.check(bad)


def test_a_problem_of_another_operation_does_not() -> None:
    """Which kinds of problems an operation may have is part of the contract."""
    headers = GOOD | {"Content_Type": "application/problem+json"}
    problem = {"title": "x", "status": 404, "detail": "x"}
    contracts.check(answered(404, problem | {"type": "/problems/node-unknown"}, **headers))
    with pytest.raises(AssertionError):
        contracts.check(
            answered(404, problem | {"type": "/problems/certificate-unknown"}, **headers)
        )
