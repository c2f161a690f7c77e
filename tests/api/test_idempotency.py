"""A POST that is repeated with its Idempotency-Key: done once, and told the truth each time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from espm.errors import BackendUnavailable
from tests.api.test_certificates import CERTIFICATE, make_csr
from tests.api.test_nodes import NAME, PATH, slug

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import requests

    from espm.model import SignedCertificate
    from tests.api.platform import Client, Espm

DOWN = BackendUnavailable("the CA does not answer")


def post(
    client: Client, body: Any, key: str = "k-1", path: str = "/v1/nodes", **headers: str
) -> requests.Response:
    """POST *body* with a key."""
    return client.call("POST", path, json=body, headers={"Idempotency-Key": key, **headers})


def add(client: Client, key: str = "k-1", **body: Any) -> requests.Response:
    """Add the node with a key."""
    return post(client, {"certname": NAME, **body}, key)


def age(espm: Espm, seconds: float) -> None:
    """Let the answers with private keys grow old."""
    delivered = espm.application._idempotency._delivered
    delivered._clock = lambda: time.monotonic() + seconds


def same(first: requests.Response, again: requests.Response) -> bool:
    """Return whether *again* is *first*, byte for byte, and says that it is a replay."""
    names = ("Location", "ETag", "Content-Type", "Cache-Control")
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true", again.text
    return (first.status_code, first.content, [first.headers.get(name) for name in names]) == (
        again.status_code,
        again.content,
        [again.headers.get(name) for name in names],
    )


@pytest.fixture
def slow(espm: Espm, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any]]:
    """A CA that waits before it signs; says when it was reached, and can be let go."""
    reached, free = threading.Event(), threading.Event()
    sign = espm.ca.sign

    def wait(certname: Any, _csr: Any = None) -> SignedCertificate:
        reached.set()
        assert free.wait(20)
        return sign(certname)

    monkeypatch.setattr(espm.ca, "sign", wait)
    yield reached, free
    free.set()


@pytest.mark.parametrize("key", ["a", "~" * 255, '"quoted"', "0:,;=/?", "8e03978e-40d5-43dd-bc93"])
def test_a_repeat_has_the_same_outcome(cloud: Client, key: str) -> None:
    """201 with the same bytes; the request id is the repeat's own."""
    first = add(cloud, key, groups=["web"], parameters={"a": "ä"})
    again = post(cloud, {"certname": NAME, "groups": ["web"], "parameters": {"a": "ä"}}, key,
                 **{"X-Request-Id": "second"})  # fmt: skip

    assert first.status_code == 201, first.text
    assert same(first, again)
    assert again.headers["X-Request-Id"] == "second"


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", '"a b"', "\xe4", "a\tb"])
def test_a_key_that_is_none_is_said(cloud: Client, key: str) -> None:
    """422 names the header and its rule, and nothing was done."""
    answer = cloud.call("POST", "/v1/nodes", json={"certname": NAME},
                        headers={"Idempotency-Key": key.encode("latin-1")})  # fmt: skip

    assert (answer.status_code, slug(answer)) == (422, "invalid-request")
    assert answer.json()["detail"].startswith(
        "Idempotency-Key: not 1 to 255 visible ASCII characters"
    )
    assert cloud.get(PATH).status_code == 404


def test_quotes_belong_to_the_key(cloud: Client) -> None:
    """`abc` and `"abc"` are two keys: they are compared as they were sent."""
    add(cloud, "abc")

    assert slug(add(cloud, '"abc"')) == "certname-taken"


def test_other_methods_take_no_notice(cloud: Client) -> None:
    """GET, PUT and DELETE are idempotent by themselves; even an impossible key is ignored."""
    cloud.add(NAME)
    header = {"Idempotency-Key": "not a key"}
    answers = [
        cloud.call("GET", PATH, headers=header),
        cloud.call("PUT", PATH, json={}, headers=header),
        cloud.call("DELETE", PATH, headers=header),
        cloud.call("DELETE", PATH, headers=header),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 204, 204]
    assert not any("Idempotency-Replayed" in answer.headers for answer in answers)


def test_a_key_counts_for_one_platform_and_one_path(
    espm: Espm, cloud: Client, other: Client
) -> None:
    """Another platform's key of the same text, and the same key at another path, are others."""
    body = {"certname": NAME, "certificate": {}}
    assert "PRIVATE KEY" in post(cloud, body).text

    assert slug(post(other, body)) == "certname-taken"
    assert slug(post(other, {}, path=CERTIFICATE)) == "node-unknown"
    assert post(other, {"certname": "db.example.com"}).status_code == 201
    assert slug(post(cloud, {}, path=CERTIFICATE)) == "certificate-exists"
    assert post(cloud, body).headers["Idempotency-Replayed"] == "true"


def test_the_order_of_members_is_no_other_body(cloud: Client) -> None:
    """A client that writes its JSON anew repeats the same request."""
    header = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    texts = (
        f'{{"certname":"{NAME}","parameters":{{"a":1,"b":[1,2]}}}}',
        f'{{ "parameters": {{"b": [1, 2], "a": 1}},\n "certname": "{NAME}" }}',
        f'{{"certname":"{NAME}","parameters":{{"a":1,"b":[2,1]}}}}',
    )
    first, again, another = (
        cloud.call("POST", "/v1/nodes", data=text, headers=header) for text in texts
    )

    assert same(first, again)
    assert (another.status_code, slug(another)) == (422, "idempotency-conflict")


def test_a_refusal_is_not_kept(espm: Espm, cloud: Client) -> None:
    """4xx and 5xx left nothing: the repeat is tried anew, and may have another body."""
    wrong = add(cloud, groups=["wep"])
    espm.ca.fail_before["sign"] = DOWN
    down = add(cloud, groups=["web"], certificate={})
    del espm.ca.fail_before["sign"]
    done = add(cloud, groups=["web"], certificate={})

    assert [answer.status_code for answer in (wrong, down, done)] == [422, 503, 201]
    assert "Idempotency-Replayed" not in done.headers
    assert same(done, add(cloud, groups=["web"], certificate={}))


def test_an_answer_with_a_private_key_is_repeated_for_a_minute(espm: Espm, cloud: Client) -> None:
    """Byte for byte; then 409 says where the key is and what to do, and the node lives on."""
    first = add(cloud, certificate={})
    age(espm, 59)
    again = add(cloud, certificate={})
    age(espm, 61)
    late = add(cloud, certificate={})

    assert "PRIVATE KEY" in first.json()["certificate"]["private_key"]
    assert first.headers["Cache-Control"] == "no-store"
    assert same(first, again)
    assert (late.status_code, slug(late)) == (409, "key-delivered")
    assert CERTIFICATE in late.json()["detail"]
    assert cloud.get(CERTIFICATE).json()["state"] == "valid"
    assert len([call for call in espm.ca.calls if call[0] == "sign"]) == 1


def test_a_lost_key_is_replaced_as_the_problem_says(espm: Espm, cloud: Client) -> None:
    """DELETE the certificate, POST with a new key; the old keys say that theirs is gone."""
    add(cloud, certificate={})
    age(espm, 61)
    assert cloud.call("DELETE", CERTIFICATE).status_code == 204
    old = add(cloud, certificate={})
    new = post(cloud, {}, "k-2", CERTIFICATE)

    assert (old.status_code, slug(old)) == (409, "idempotency-spent")
    assert old.json()["detail"].startswith(f"the certificate of {NAME} was revoked since")
    assert "private_key" in new.json()
    assert slug(add(cloud, certificate={})) == "idempotency-spent"
    assert cloud.get(CERTIFICATE).json()["serial"] == new.json()["serial"]


def test_no_private_key_is_on_the_disk(espm: Espm, cloud: Client, tmp_path: Path) -> None:
    """Not in the ledger either, whatever was asked for under a key."""
    keys = [
        add(cloud, certificate={}).json()["certificate"]["private_key"],
        post(cloud, {"certname": "db.example.com"}, "k-2").text,
        post(cloud, {}, path="/v1/nodes/db.example.com/certificate").json()["private_key"],
    ]
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    assert b"k-2" in written
    for key in (keys[0], keys[2]):
        assert b"PRIVATE KEY" not in written
        assert key.splitlines()[1].encode() not in written


def test_a_certificate_for_the_nodes_own_key_is_repeated(espm: Espm, cloud: Client) -> None:
    """There is no secret in it: for a day, not for a minute."""
    cloud.add(NAME)
    body = {"csr": make_csr().decode()}
    first = post(cloud, body, path=CERTIFICATE)
    age(espm, 3600)

    assert first.status_code == 201, first.text
    assert same(first, post(cloud, body, path=CERTIFICATE))
    assert slug(post(cloud, {}, path=CERTIFICATE)) == "idempotency-conflict"


def test_a_node_that_was_deleted_does_not_come_back(espm: Espm, cloud: Client) -> None:
    """The old answer would lie, and a late repeat must not make the node anew."""
    first = add(cloud, certificate={})
    cloud.call("DELETE", PATH)
    gone = add(cloud, certificate={})
    still = cloud.get(PATH).status_code
    successor = add(cloud, "k-2", certificate={})
    after = add(cloud, certificate={})

    assert first.status_code == successor.status_code == 201
    assert (gone.status_code, slug(gone), still) == (409, "idempotency-spent", 404)
    assert gone.json()["detail"].startswith(f"the node {NAME} was deleted since")
    assert slug(after) == "idempotency-spent"
    assert same(successor, add(cloud, "k-2", certificate={}))


def test_a_change_since_changes_no_answer(cloud: Client) -> None:
    """What POST answered was so then; GET tells what is now."""
    first = add(cloud, parameters={"a": 1})
    cloud.call("PUT", PATH, json={"parameters": {"a": 2}})

    assert same(first, add(cloud, parameters={"a": 1}))
    assert cloud.get(PATH).headers["ETag"] == '"1.2"'


def test_of_two_at_once_one_runs(
    espm: Espm, cloud: Client, slow: tuple[threading.Event, threading.Event]
) -> None:
    """The other is told to come again, and later hears the same."""
    reached, free = slow
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(add, espm.client(), certificate={})
        assert reached.wait(10)
        second = add(cloud, certificate={})
        another = add(cloud, groups=["web"])
        elsewhere = post(espm.client(), {"certname": "db.example.com"}, "k-2")
        free.set()
        first = running.result()

    assert (second.status_code, slug(second)) == (409, "idempotency-busy")
    assert second.headers["Retry-After"] == "2"
    assert (another.status_code, slug(another)) == (422, "idempotency-conflict")
    assert (first.status_code, elsewhere.status_code) == (201, 201)
    assert same(first, add(cloud, certificate={}))


def test_in_a_storm_of_repeats_one_runs(espm: Espm) -> None:
    """Whoever got 201 got the same; the others were told to come again."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: add(espm.client(), certificate={}), range(24)))
    made = {answer.content for answer in answers if answer.status_code == 201}

    assert {answer.status_code for answer in answers} <= {201, 409, 503}
    assert len(made) == 1
    assert len([call for call in espm.ca.calls if call[0] == "sign"]) == 1


def test_what_was_signed_although_we_were_told_otherwise_is_found(
    espm: Espm, cloud: Client
) -> None:
    """The CA signed the node's CSR and broke off: 503. The repeat answers 201 with it, once the
    CA gives its bundle again.
    """
    cloud.add(NAME)
    body = {"csr": make_csr().decode()}
    espm.ca.fail_after["sign"] = DOWN
    broken = post(cloud, body, path=CERTIFICATE)
    espm.ca.fail_after.clear()
    espm.ca.fail_before["bundle"] = DOWN
    later = post(cloud, body, path=CERTIFICATE)
    espm.ca.fail_before.clear()
    found = post(cloud, body, path=CERTIFICATE)
    again = post(cloud, body, path=CERTIFICATE)

    assert [each.status_code for each in (broken, later, found)] == [503, 503, 201]
    assert found.json()["certificate"] == espm.ca.issued[NAME].decode()
    assert found.json()["ca_bundle"] == espm.ca.bundle().decode()
    assert found.headers["Location"] == CERTIFICATE
    assert found.headers["Idempotency-Replayed"] == "true"
    assert again.content == found.content


def test_what_could_not_be_undone_is_carried_on_by_the_repeat(espm: Espm, cloud: Client) -> None:
    """While the CA is away it is refused; once it is back, the repeat cleans up and runs anew."""
    espm.ca.fail_after["sign"] = espm.ca.fail_before["revoke"] = DOWN
    answers = [add(cloud, certificate={}), add(cloud, certificate={})]
    conflict = add(cloud, groups=["web"])
    espm.ca.fail_after.clear()
    espm.ca.fail_before.clear()
    done = add(cloud, certificate={})

    assert [slug(answer) for answer in answers] == ["backend-unavailable", "idempotency-busy"]
    assert answers[1].headers["Retry-After"].isdigit()
    assert slug(conflict) == "idempotency-conflict"
    assert (done.status_code, len(espm.ca.revoked)) == (201, 1)
    assert "Idempotency-Replayed" not in done.headers


def test_an_answer_that_could_not_be_kept_is_given_all_the_same(
    espm: Espm, cloud: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node is there; the repeat is answered from what the ledger has of it."""

    def full(*_: object) -> None:
        raise BackendUnavailable

    with monkeypatch.context() as broken:
        broken.setattr(type(espm.ledger), "keep", full)
        first = add(cloud, groups=["web"])
    again = add(cloud, groups=["web"])

    assert first.status_code == 201, first.text
    assert same(first, again)
