"""Nodes over HTTP: added, read, listed, changed, deleted; and what is refused."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from espm.errors import BackendRefused, BackendUnavailable
from espm.model import Certname

if TYPE_CHECKING:
    from tests.api.platform import Client, Espm

NAME = "web-1.example.com"
PATH = f"/v1/nodes/{NAME}"


def slug(answer: Any) -> str:
    """Return the end of a problem's type, having checked that it is a problem document."""
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    assert answer.json()["status"] == answer.status_code
    return str(answer.json()["type"]).removeprefix("/problems/")


def test_a_node_is_added_and_classified(espm: Espm, cloud: Client) -> None:
    """POST answers 201 with Location and ETag, and the ENC's document is in force."""
    answer = cloud.add(NAME, groups=["web"], parameters={"role": "shop"})

    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == PATH
    assert answer.headers["ETag"] == '"1.1"'
    assert answer.json()["state"] == "active"
    document = json.loads(espm.document(NAME) or "")
    assert document["environment"] == "production"
    assert document["classes"] == {
        "ntp": {"servers": ["ntp.example.com"]},
        "profile::web": {"docroot": "/srv/www"},
    }
    assert document["parameters"] == {"site": "dc1", "role": "shop"}


def test_a_node_reads_as_it_was_written(cloud: Client) -> None:
    """GET gives back what POST took."""
    cloud.add(NAME, groups=["base"], classes={"ntp": {"ensure": "latest"}}, parameters={"a": [1]})
    body = cloud.get(PATH).json()

    assert body["groups"] == ["base"]
    assert body["classes"] == {"ntp": {"ensure": "latest"}}
    assert body["parameters"] == {"a": [1]}
    assert body["environment"] is None


def test_one_call_launches_a_node(espm: Espm, cloud: Client) -> None:
    """A certificate ordered with the node comes with its key and the CA's bundle."""
    answer = cloud.add(NAME, certificate={})

    assert answer.status_code == 201, answer.text
    certificate = answer.json()["certificate"]
    assert certificate["state"] == "valid"
    assert "PRIVATE KEY" in certificate["private_key"]
    assert certificate["certificate"].encode() == espm.ca.issued[NAME]
    assert certificate["ca_bundle"].encode() == espm.ca.bundle()


def test_a_taken_name_is_refused(cloud: Client, other: Client) -> None:
    """The second POST of a name gets 409, whoever sends it."""
    cloud.add(NAME)

    assert slug(cloud.add(NAME)) == "certname-taken"
    assert slug(other.add(NAME)) == "certname-taken"


def test_a_name_that_the_ca_knows_is_taken(espm: Espm, cloud: Client) -> None:
    """A certificate that somebody else got makes POST a 409 and leaves no trace."""
    espm.ca.issued[NAME] = espm.ca.bundle()

    assert slug(cloud.add(NAME)) == "certname-taken"
    assert espm.document(NAME) is None
    assert cloud.get(PATH).status_code == 404
    assert ("revoke", NAME) not in espm.ca.calls


def test_of_two_posts_at_once_one_wins(espm: Espm, cloud: Client) -> None:
    """Eight POSTs of one name at once: exactly one 201, the others 409 or 503."""
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: espm.client().add(NAME, certificate={}), range(8)))

    assert [answer.status_code for answer in codes if answer.status_code < 300] == [201]
    assert {answer.status_code for answer in codes} <= {201, 409, 503}
    assert cloud.get(PATH).json()["state"] == "active"


def test_foreign_nodes_are_invisible(cloud: Client, other: Client) -> None:
    """Every verb on another platform's node answers as for a name that does not exist."""
    cloud.add(NAME, certificate={})
    for method, path, body in (
        ("GET", "", None),
        ("PUT", "", {}),
        ("DELETE", "", None),
        ("GET", "/certificate", None),
        ("POST", "/certificate", {}),
        ("DELETE", "/certificate", None),
    ):
        foreign = other.call(method, PATH + path, json=body)
        nobody = other.call(method, "/v1/nodes/nobody.example.com" + path, json=body)

        assert foreign.status_code == nobody.status_code == 404
        assert foreign.json() | {"instance": ""} == nobody.json() | {"instance": ""}
    assert other.get("/v1/nodes").json() == {"nodes": [], "next": None}


def test_put_replaces_the_classification(espm: Espm, cloud: Client) -> None:
    """PUT takes effect at once and moves the version on."""
    cloud.add(NAME, groups=["web"])
    answer = cloud.call("PUT", PATH, json={"classes": ["ntp"], "environment": "staging"})

    assert answer.status_code == 200, answer.text
    assert answer.headers["ETag"] == '"1.2"'
    document = json.loads(espm.document(NAME) or "")
    assert document["environment"] == "staging"
    assert document["classes"] == {"ntp": {}}


def test_if_match_protects(cloud: Client) -> None:
    """PUT and DELETE with an old entity tag are 412 and change nothing."""
    cloud.add(NAME)
    cloud.call("PUT", PATH, json={"parameters": {"a": 1}})
    old = {"If-Match": '"1.1"'}

    assert slug(cloud.call("PUT", PATH, json={}, headers=old)) == "version-mismatch"
    assert slug(cloud.call("DELETE", PATH, headers=old)) == "version-mismatch"
    assert cloud.get(PATH).json()["parameters"] == {"a": 1}
    assert cloud.call("DELETE", PATH, headers={"If-Match": '"1.2"'}).status_code == 204


def test_if_match_protects_a_successor(cloud: Client) -> None:
    """DELETE with the tag of a node's former life spares the node that has its name now."""
    first = cloud.add(NAME).headers["ETag"]
    cloud.call("DELETE", PATH)
    cloud.add(NAME)

    assert cloud.call("DELETE", PATH, headers={"If-Match": first}).status_code == 412
    assert cloud.get(PATH).status_code == 200


def test_delete_revokes_and_forgets(espm: Espm, cloud: Client) -> None:
    """DELETE answers 204 when the CRL shows the certificate and the document is gone."""
    serial = int(cloud.add(NAME, certificate={}).json()["certificate"]["serial"], 16)
    answer = cloud.call("DELETE", PATH)

    assert answer.status_code == 204
    assert answer.content == b""
    assert serial in espm.ca.revoked
    assert NAME not in espm.ca.issued
    assert espm.document(NAME) is None
    assert cloud.get(PATH).status_code == 404


def test_delete_is_idempotent_for_its_caller(cloud: Client, other: Client) -> None:
    """A repeated DELETE is 204; for others, and for names that never were, it is 404."""
    cloud.add(NAME)
    cloud.call("DELETE", PATH)

    assert cloud.call("DELETE", PATH).status_code == 204
    assert other.call("DELETE", PATH).status_code == 404
    assert cloud.call("DELETE", "/v1/nodes/never.example.com").status_code == 404


def test_a_name_can_be_used_again(cloud: Client) -> None:
    """After DELETE the name is free, and the new node is another generation."""
    first = cloud.add(NAME, certificate={}).json()
    cloud.call("DELETE", PATH)
    second = cloud.add(NAME, certificate={}).json()

    assert second["generation"] > first["generation"]
    assert second["certificate"]["serial"] != first["certificate"]["serial"]


def test_an_unproved_revocation_is_never_a_204(espm: Espm, cloud: Client) -> None:
    """While the CRL does not show it, DELETE is 202 with a job, and the tombstone stays."""
    cloud.add(NAME, certificate={})
    espm.ca.loses_revocations = True
    answer = cloud.call("DELETE", PATH)
    job = cloud.get(answer.headers["Location"])

    assert answer.status_code == 202
    assert answer.headers["Retry-After"].isdigit()
    assert job.json() == answer.json()
    assert job.json()["state"] == "waiting"
    assert "the CRL does not show" in job.json()["last_error"]
    assert cloud.get(PATH).json()["state"] == "deleting"
    assert '"withheld"' in (espm.document(NAME) or "")
    assert NAME in espm.ca.issued, "cleaned before it was proved"

    espm.ca.loses_revocations = False

    assert cloud.call("DELETE", PATH).status_code == 204
    assert espm.document(NAME) is None


def test_a_node_being_deleted_is_busy(espm: Espm, cloud: Client) -> None:
    """POST and PUT of a name that is being deleted are 409 with Retry-After."""
    cloud.add(NAME, certificate={})
    espm.ca.loses_revocations = True
    cloud.call("DELETE", PATH)

    for answer in (cloud.add(NAME), cloud.call("PUT", PATH, json={})):
        assert slug(answer) == "node-busy"
        assert answer.headers["Retry-After"].isdigit()


@pytest.mark.parametrize("call", ["certificate", "bundle", "submit", "sign"])
@pytest.mark.parametrize("when", ["fail_before", "fail_after"])
def test_a_failed_launch_leaves_nothing(espm: Espm, cloud: Client, call: str, when: str) -> None:
    """Whatever call to the CA fails, before or after its effect, nothing valid remains."""
    getattr(espm.ca, when)[call] = BackendUnavailable("the CA does not answer")
    if call == "certificate":
        # Undoing needs to look, too; a CA that is away for good is another test.
        espm.ca.fail_before.pop(call, None)
    answer = cloud.add(NAME, groups=["web"], certificate={})
    espm.ca.fail_before.clear()
    espm.ca.fail_after.clear()

    if answer.status_code == 201:
        return
    assert slug(answer) == "backend-unavailable"
    assert answer.headers["Retry-After"].isdigit()
    # What could not be undone at once is undone by whatever comes next for that name.
    cloud.call("DELETE", PATH)
    assert espm.document(NAME) is None
    assert NAME not in espm.ca.requests
    assert NAME not in espm.ca.issued
    assert cloud.add(NAME, certificate={}).status_code == 201


def test_nodes_are_listed_in_pages(cloud: Client, other: Client) -> None:
    """GET /v1/nodes pages by name and never shows another platform's nodes."""
    names = [f"n{number}.example.com" for number in range(5)]
    for name in names:
        cloud.add(name)
    other.add("stranger.example.com")
    seen: list[str] = []
    path: str | None = "/v1/nodes?limit=2&state=active"
    while path:
        answer = cloud.get(path)
        seen += [node["certname"] for node in answer.json()["nodes"]]
        path = answer.json()["next"]
        assert ("Link" in answer.headers) == (path is not None)

    assert seen == names


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=000000001000000",
        "limit=00000000199999999999999999999999",
        "state=gone",
        "after=A",
        "page=2",
        "limit=1&limit=2",
    ],
)
def test_a_bad_query_is_refused(cloud: Client, query: str) -> None:
    """Odd values, unknown names and repeated ones are 422."""
    assert cloud.get(f"/v1/nodes?{query}").status_code == 422


INVALID_NAMES = [
    "Web.example.com",
    "-web.example.com",
    "web..example.com",
    "../etc/passwd",
    "a/b",
    "a,b",
    "a\nb",
    "a b",
    "wéb.example.com",
    "a" * 65,
    "--all",
    "ca",
    "localhost",
    "puppet.example.com",
    "",
    ".*",
    "*",
    "web-",
    7,
    None,
    ["web"],
]


@pytest.mark.parametrize("name", INVALID_NAMES)
def test_an_invalid_certname_is_refused_first(espm: Espm, cloud: Client, name: Any) -> None:
    """A bad name in a body is 422 that says the rule, before anything is touched."""
    answer = cloud.call("POST", "/v1/nodes", json={"certname": name, "groups": ["nope"]})

    assert slug(answer) == "invalid-certname"
    assert answer.json()["detail"]
    assert espm.ca.calls == []
    assert espm.catalogue.looks == []


def test_a_nul_in_a_name_is_refused(cloud: Client) -> None:
    """A NUL is no part of any string that espm takes."""
    assert cloud.add("a\0b").status_code == 400


@pytest.mark.parametrize(
    "name", ["Web.example.com", "..", "%2e%2e", "a%2Fb", "--all", "ca", "a" * 65, "%00", "a%0Ab"]
)
def test_an_invalid_certname_in_a_url_is_unknown(cloud: Client, name: str) -> None:
    """A bad name in a URL is 404 like any unknown one, or refused as no path at all."""
    answer = cloud.get(f"/v1/nodes/{name}")

    assert answer.status_code in {400, 404}


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ({"certname": "db-1.example.com"}, "certnames"),
        ({"certname": "web-2.example.com", "groups": ["base"]}, "groups"),
        ({"certname": "web-2.example.com", "classes": {"ntp": {}}}, "classes"),
        ({"certname": "web-2.example.com", "environment": "staging"}, "environments"),
    ],
)
def test_limits_are_enforced_before_any_look_up(
    espm: Espm, narrow: Client, body: dict[str, Any], limit: str
) -> None:
    """What is outside the platform's limits is 403 naming the limit; nobody is asked."""
    answer = narrow.call("POST", "/v1/nodes", json=body)

    assert slug(answer) == "outside-limits"
    assert f"'{limit}'" in answer.json()["detail"]
    assert espm.ca.calls == []
    assert espm.catalogue.looks == []


def test_a_groups_environment_is_within_limits_too(narrow: Client, cloud: Client) -> None:
    """A platform can't reach an environment through a group that it may not name itself."""
    assert cloud.add("a.example.com", groups=["staging"]).status_code == 201
    assert cloud.get("/v1/classes?environment=staging").status_code == 200
    assert slug(narrow.get("/v1/classes?environment=staging")) == "outside-limits"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"groups": ["nope"]}, "nope"),
        ({"classes": {"nosuch": {}}}, "nosuch"),
        ({"classes": {"ntp": {"colour": 1}}}, "colour"),
    ],
)
def test_what_puppet_does_not_have_is_named(
    cloud: Client, body: dict[str, Any], fault: str
) -> None:
    """Unknown groups, classes and class parameters are 422, each named in errors."""
    answer = cloud.add(NAME, **body)

    assert slug(answer) == "invalid-classification"
    assert any(fault in error["detail"] for error in answer.json()["errors"])
    assert cloud.get(PATH).status_code == 404


def test_a_new_class_is_found_by_a_fresh_look(espm: Espm, cloud: Client) -> None:
    """A class that was deployed since the last look is accepted after another."""
    espm.catalogue.deployed = {"fresh": espm.catalogue.known["ntp"]}

    assert cloud.add(NAME, classes={"fresh": {}}).status_code == 201


def test_puppet_away_is_503_and_nothing_half_done(espm: Espm, cloud: Client) -> None:
    """Where classes can't be checked, the answer is 503 and there is no node."""
    espm.catalogue.away = True
    answer = cloud.add(NAME, classes={"ntp": {}})

    assert slug(answer) == "backend-unavailable"
    assert espm.document(NAME) is None
    assert cloud.get(PATH).status_code == 404


def test_a_missing_parameter_is_a_warning(cloud: Client) -> None:
    """A parameter without a default may come from Hiera, so it is only mentioned."""
    answer = cloud.add(NAME, classes={"profile::web": {}})

    assert answer.status_code == 201
    assert "docroot" in answer.json()["warnings"][0]["detail"]


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"certname": NAME, "group": ["web"]},
        {"certname": NAME, "groups": "web"},
        {"certname": NAME, "classes": 1},
        {"certname": NAME, "classes": {"Ntp": {}}},
        {"certname": NAME, "classes": {"ntp": []}},
        {"certname": NAME, "classes": {"ntp": {"A-b": 1}}},
        {"certname": NAME, "parameters": []},
        {"certname": NAME, "parameters": {"trusted": 1}},
        {"certname": NAME, "parameters": {"Facts": 1}},
        {"certname": NAME, "environment": "../x"},
        {"certname": NAME, "certificate": []},
        {"certname": NAME, "certificate": {"csr": 1}},
        {"certname": NAME, "certificate": {"sign_pending": "AB"}},
        {"certname": NAME, "certificate": {"replace_pending": 1}},
        {"certname": NAME, "certificate": {"sign_pending": "0" * 64, "csr": "x"}},
    ],
)
def test_a_wrong_body_is_refused_with_every_fault(cloud: Client, body: Any) -> None:
    """Unknown members and wrong types are 422 with a sentence each."""
    answer = cloud.call("POST", "/v1/nodes", json=body)

    assert slug(answer) == "invalid-request"
    assert answer.json()["errors"]
    assert cloud.get("/v1/nodes").json()["nodes"] == []


def test_without_rights_at_the_ca_nothing_is_begun(espm: Espm, cloud: Client) -> None:
    """What espm may not sign it does not hand in, and the node is gone again."""
    espm.ca.fail_before["check_rights"] = BackendRefused("auth.conf does not allow it")
    answer = cloud.add(NAME, certificate={})

    assert slug(answer) == "backend-refused"
    assert espm.ca.requests == {}
    assert cloud.get(PATH).status_code == 404


def test_a_launch_that_could_not_be_undone_is_undone_by_its_repeat(
    espm: Espm, cloud: Client
) -> None:
    """The platform only has to send its POST again; no restart is needed."""
    down = BackendUnavailable("the CA does not answer")
    espm.ca.fail_after["sign"] = espm.ca.fail_before["revoke"] = down
    assert cloud.add(NAME, certificate={}).status_code == 503
    assert slug(cloud.add(NAME, certificate={})) == "node-busy"
    espm.ca.fail_after.clear()
    espm.ca.fail_before.clear()
    again = cloud.add(NAME, certificate={})

    assert again.status_code == 201, again.text
    assert len(espm.ca.revoked) == 1


def test_an_odd_certificate_of_somebody_else_does_not_block_a_deletion(
    espm: Espm, cloud: Client
) -> None:
    """A certificate that can't be read is not ours; ours is in the CRL."""
    cloud.add(NAME, certificate={})
    serial = next(iter(espm.ca.issued))
    espm.ca.revoke([Certname(serial)])
    espm.ca.issued[NAME] = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

    assert cloud.call("DELETE", PATH).status_code == 204
    assert NAME in espm.ca.issued


def test_a_reserved_name_outside_the_limits_is_like_any_other(narrow: Client) -> None:
    """Whoever may not use a name does not learn that it is a server's."""
    answer = narrow.call("POST", "/v1/nodes", json={"certname": "puppet.example.com"})

    assert slug(answer) == "outside-limits"


def test_a_left_deletion_is_carried_on_by_recovery(espm: Espm, cloud: Client) -> None:
    """What a failed DELETE left is finished by the recovery that every start runs."""
    cloud.add(NAME, certificate={})
    espm.ca.fail_before["revoke"] = BackendUnavailable("the CA does not answer")
    assert cloud.call("DELETE", PATH).status_code == 202
    assert espm.recover() == 1
    espm.ca.fail_before.clear()

    assert espm.recover() == 0
    assert cloud.get(PATH).status_code == 404
    assert NAME not in espm.ca.issued
    assert espm.ledger.was_deleted("cloud", Certname(NAME))


def test_an_old_ledger_beside_newer_documents_is_told(espm: Espm, cloud: Client) -> None:
    """A document of a later life than the ledger knows is an error, not a silent 201."""
    stale = '{"espm": {"generation": 99, "version": 1, "state": "present"},\n"classes": {}}\n'
    (espm.enc / f"{NAME}.json").write_text(stale)

    assert slug(cloud.add(NAME, certificate={})) == "backend-refused"
    assert espm.document(NAME) == stale
    assert NAME not in espm.ca.issued
