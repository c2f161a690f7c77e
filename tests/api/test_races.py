"""Many clients at one name: whatever the order, what they were told is true at the end."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from tests.api.test_nodes import NAME, PATH

if TYPE_CHECKING:
    from tests.api.platform import Client, Espm


#: What a client may be told that named no version and did nothing wrong.
FAIR = {200, 201, 202, 204, 404, 409, 503}


def hammer(espm: Espm, number: int) -> set[int]:
    """Add, change and delete one node as one of many clients; return the statuses seen."""
    client = espm.client()
    seen: set[int] = set()
    for turn in range(6):
        body = {"parameters": {"by": number, "turn": turn}}
        answers = (
            client.add(NAME, parameters={"by": number}, certificate={}),
            client.call("PUT", PATH, json=body),
            client.call("DELETE", PATH + "/certificate"),
            client.call("POST", PATH + "/certificate", json={}),
            client.call("DELETE", PATH),
        )
        seen |= {answer.status_code for answer in answers}
    return seen


def test_ledger_enc_and_ca_agree_after_a_storm(espm: Espm, cloud: Client) -> None:
    """POST, PUT and DELETE against each other: no state is torn, nothing is resurrected."""
    with ThreadPoolExecutor(4) as pool:
        seen = set[int]().union(*pool.map(lambda number: hammer(espm, number), range(4)))
    found = cloud.get(PATH)

    assert seen <= FAIR

    if found.status_code == 200:
        body = found.json()
        document = json.loads(espm.document(NAME) or "")
        assert body["state"] == "active"
        assert document["parameters"] == body["parameters"]
        assert document["espm"]["generation"] == body["generation"]
        assert cloud.call("DELETE", PATH).status_code == 204
    assert espm.document(NAME) is None
    assert NAME not in espm.ca.issued
    assert NAME not in espm.ca.requests


def test_only_one_of_two_changes_with_one_tag_wins(espm: Espm, cloud: Client) -> None:
    """Of PUTs that name the same version in If-Match exactly one is accepted."""
    tag = {"If-Match": cloud.add(NAME).headers["ETag"]}

    def put(number: int) -> int:
        body = {"parameters": {"by": number}}
        return espm.client().call("PUT", PATH, json=body, headers=tag).status_code

    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(put, range(4)))

    assert codes.count(200) == 1
    assert set(codes) <= {200, 409, 412}


def test_deletions_at_once_are_all_told_the_truth(espm: Espm, cloud: Client) -> None:
    """Each is told that it is done, or to come again; none that the node has changed."""
    for _ in range(10):
        cloud.add(NAME)
        with ThreadPoolExecutor(4) as pool:
            codes = list(
                pool.map(lambda _: espm.client().call("DELETE", PATH).status_code, range(4))
            )

        assert set(codes) <= {202, 204, 409}
        assert 204 in codes


def test_a_deletion_that_a_change_overtook_is_not_said_to_be_done(
    espm: Espm, cloud: Client
) -> None:
    """Also where an earlier life of the name was deleted: 204 is about the node that is there."""
    cloud.add(NAME)
    cloud.call("DELETE", PATH)
    cloud.add(NAME)
    real = espm.ledger.begin_deletion

    def overtaken(*arguments: Any, **options: Any) -> Any:
        espm.ledger.begin_deletion = real  # type: ignore[method-assign]
        espm.client().call("PUT", PATH, json={"parameters": {"by": "another"}})
        return real(*arguments, **options)

    espm.ledger.begin_deletion = overtaken  # type: ignore[method-assign]
    answer = cloud.call("DELETE", PATH)

    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/node-busy"
    assert cloud.get(PATH).json()["state"] == "active"
    assert cloud.call("DELETE", PATH).status_code == 204
