"""Idempotency-Keys and the process: killed with -9 in the middle, started again, asked again."""

from __future__ import annotations

import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.api.process import Site, site_with_puppet
from tests.api.test_certificates import make_csr
from tests.api.test_idempotency import add, post
from tests.api.test_nodes import NAME, PATH, slug
from tests.crls import is_revoked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import requests

    from tests.api.platform import Client
    from tests.fake_puppet import FakePuppet

pytestmark = pytest.mark.slow

CERTIFICATE = PATH + "/certificate"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[tuple[Site, FakePuppet]]:
    """A site beside a fake Puppet."""
    with site_with_puppet(tmp_path) as both:
        yield both


def until_told(client: Client, body: Any, path: str) -> requests.Response:
    """Repeat a request as its answers say, and return the first that is final."""
    for _ in range(100):
        answer = post(client, body, path=path)
        if answer.headers.get("Retry-After") is None:
            return answer
        time.sleep(0.05)
    return answer


@pytest.mark.parametrize("after", [False, True], ids=["before-signing", "after-signing"])
def test_a_node_whose_addition_was_killed_is_added_by_the_repeat(
    made: tuple[Site, FakePuppet], *, after: bool
) -> None:
    """The half-made node is taken back and made anew: one certificate, whose key is delivered;
    meanwhile the repeat is told to come again.
    """
    site, puppet = made
    with site.serving() as daemon, ThreadPoolExecutor(1) as pool:
        with puppet.holding("PUT certificate_status", after=after) as hold:
            cut = pool.submit(add, site.client(), certificate={})
            hold.reached()
            busy = add(site.client(), certificate={})
            daemon.stop(signal.SIGKILL)
        assert cut.exception()
    half_made = puppet.ca.issued.get(NAME)
    with site.serving() as again:
        done = until_told(site.client(), {"certname": NAME, "certificate": {}}, "/v1/nodes")
        repeated = add(site.client(), certificate={})
        code = again.stop()

    assert (busy.status_code, slug(busy)) == (409, "idempotency-busy")
    assert half_made or not after
    assert done.status_code == 201, done.text
    assert "Idempotency-Replayed" not in done.headers
    assert done.json()["certificate"]["certificate"] == puppet.ca.issued[NAME].decode()
    assert _revoked(puppet, puppet.ca.issued[NAME]) is False
    assert half_made is None or _revoked(puppet, half_made)
    assert repeated.content == done.content
    assert (code, again.err.text) == (0, "")


def _revoked(puppet: FakePuppet, pem: bytes) -> bool:
    return is_revoked(puppet.ca.crl(), pem, puppet.ca.bundle())


def test_a_repeat_during_the_recovery_is_told_to_come_again(
    made: tuple[Site, FakePuppet],
) -> None:
    """While the new espm undoes what the old one began, nobody begins it anew."""
    site, puppet = made
    with (
        site.serving() as daemon,
        ThreadPoolExecutor(1) as pool,
        puppet.holding("PUT certificate_status", after=True) as hold,
    ):
        pool.submit(add, site.client(), certificate={})
        hold.reached()
        daemon.stop(signal.SIGKILL)
    with site.serving() as again:
        with puppet.holding("DELETE certificate_status") as hold:
            hold.reached()
            busy = add(site.client(), certificate={})
            other = add(site.client(), groups=["web"])
        again.out.wait_for(f"add {NAME} undone")
        done = add(site.client(), certificate={})

    assert (busy.status_code, slug(busy)) == (409, "idempotency-busy")
    assert busy.headers["Retry-After"] == "2"
    assert slug(other) == "idempotency-conflict"
    assert done.status_code == 201, done.text


def test_what_was_done_before_the_kill_is_told_after_it(made: tuple[Site, FakePuppet]) -> None:
    """The same bytes from the ledger; where there was a private key, 409 key-delivered."""
    site, puppet = made
    csr = {"csr": make_csr().decode()}
    with site.serving() as daemon:
        client = site.client()
        node, certificate = add(client, groups=["web"]), post(client, csr, path=CERTIFICATE)
        keyed = post(client, {"certname": "db.example.com", "certificate": {}}, "k-2")
        daemon.stop(signal.SIGKILL)
    with site.serving():
        client = site.client()
        again = add(client, groups=["web"]), post(client, csr, path=CERTIFICATE)
        late = post(client, {"certname": "db.example.com", "certificate": {}}, "k-2")

    assert [each.status_code for each in (node, certificate, keyed)] == [201] * 3
    assert [each.content for each in again] == [node.content, certificate.content]
    assert {each.headers["Idempotency-Replayed"] for each in again} == {"true"}
    assert (late.status_code, slug(late)) == (409, "key-delivered")
    assert len(puppet.ca.issued) == 2


def test_a_node_that_became_active_before_the_kill_is_told(
    made: tuple[Site, FakePuppet],
) -> None:
    """Killed between the last step and the answer: 201 is made from the ledger, once for all."""
    site, puppet = made
    body = {"certname": NAME, "certificate": {"csr": make_csr().decode()}}
    with site.serving() as daemon:
        first = post(site.client(), body)
        daemon.stop(signal.SIGKILL)
    _lose_the_answers(site)
    with site.serving():
        anew = post(site.client(), body)
        again = post(site.client(), body)

    assert anew.status_code == first.status_code == 201
    assert anew.json() == first.json()
    assert anew.headers["ETag"] == first.headers["ETag"]
    assert anew.headers["Location"] == first.headers["Location"] == PATH
    assert anew.headers["Idempotency-Replayed"] == "true"
    assert again.content == anew.content
    assert len(puppet.ca.issued) == 1


def _lose_the_answers(site: Site) -> None:
    """Leave the ledger as a kill between closing the intent and keeping the answer leaves it."""
    with closing(sqlite3.connect(site.directory / "ledger.db")) as database, database:
        database.execute("UPDATE replays SET headers = NULL, body = NULL")


def test_an_issue_that_was_killed_keeps_what_the_node_can_use(
    made: tuple[Site, FakePuppet],
) -> None:
    """Signed for the node's own key before the kill: the repeat is told so, and signs nothing."""
    site, puppet = made
    csr = {"csr": make_csr().decode()}
    with site.serving() as daemon, ThreadPoolExecutor(1) as pool:
        site.client().add(NAME)
        with puppet.holding("PUT certificate_status", after=True) as hold:
            pool.submit(post, site.client(), csr, path=CERTIFICATE)
            hold.reached()
            daemon.stop(signal.SIGKILL)
    signed = puppet.ca.issued[NAME]
    with site.serving():
        told = until_told(site.client(), csr, CERTIFICATE)

    assert told.status_code == 201, told.text
    assert told.headers["Idempotency-Replayed"] == "true"
    assert told.json()["certificate"] == signed.decode()
    assert puppet.ca.issued[NAME] == signed
