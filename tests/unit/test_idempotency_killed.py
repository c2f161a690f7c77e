"""Killed at any step of a POST with a key, espm tells the repeat what is true.

The steps are those of :mod:`tests.unit.test_recovery`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from espm import ledger
from espm.api import routes
from espm.api.handlers import Handlers
from espm.api.idempotency import Idempotency
from espm.api.message import Answer, Request, encoded
from espm.errors import EspmError, KeyDelivered
from espm.exposition import Exposition
from espm.health import Readiness
from espm.model import NodeState
from tests.api.platform import PLATFORMS, Door, Espm, running
from tests.api.test_certificates import make_csr
from tests.unit.test_recovery import MANY, NAME, Killed, Life, Mortal, _add, _valid

if TYPE_CHECKING:
    from pathlib import Path

    from espm.model import Json
    from espm.ports import Ports

pytestmark = pytest.mark.slow

NODE, CERTIFICATE = "/v1/nodes", f"/v1/nodes/{NAME}/certificate"
OWN = {"csr": make_csr(NAME).decode()}


class MortalLedger(Mortal):
    """A ledger each of whose calls is a step, also while it notes a key."""

    def noting(self, *arguments: Any) -> MortalLedger:
        """Note a key."""
        return MortalLedger(self._port.noting(*arguments), self._life)


class Process:
    """What one process of espm remembers."""

    def __init__(self, ports: Ports) -> None:
        self._idempotency = Idempotency()
        readiness = Readiness(ports)
        exposition = Exposition(readiness, lambda: (0, 0), lambda: 0)
        self._handlers = Handlers(ports, readiness, {}, exposition)

    def post(self, path: str, body: Json) -> Answer | EspmError:
        """Return what a request with the key is told."""
        route, parts = routes.find("POST", path)
        headers = {"idempotency-key": "k"}
        request = Request("r", parts, {}, headers, lambda: body, PLATFORMS[0])
        try:
            return self._idempotency.answer(route, self._handlers, request)
        except EspmError as error:
            return error


def killed_after(steps: int, url: str, ports: Ports, path: str, body: Json) -> bool:
    """Return whether the first request was cut short."""
    life = Life(steps)
    with ledger.open_ledger(url) as doomed:
        mortal = replace(
            ports,
            ledger=MortalLedger(doomed, life),
            classifier=Mortal(ports.classifier, life),
            ca=Mortal(ports.ca, life),
        )
        try:
            Process(mortal).post(path, body)
        except Killed:
            return True
        return False


def told_truly(espm: Espm, path: str, body: Json) -> str:
    """Repeat the request until all is said, and check it; return what the first repeat was."""
    process = Process(espm.ports)
    first, again = process.post(path, body), process.post(path, body)
    [node] = espm.ledger.nodes()
    assert node.state is NodeState.ACTIVE
    if isinstance(first, KeyDelivered):
        assert isinstance(again, KeyDelivered)
        return "key delivered"
    assert isinstance(first, Answer), first
    assert isinstance(again, Answer), again
    assert (first.status, again.status) == (201, 201)
    assert _bytes(first) == _bytes(again)
    assert again.headers["Idempotency-Replayed"] == "true"
    return "replayed" if "Idempotency-Replayed" in first.headers else "ran"


def _bytes(answer: Answer) -> bytes:
    return answer.body if isinstance(answer.body, bytes) else encoded(answer.body)


CASES = [
    pytest.param(NODE, {"certname": NAME}, "replayed", id="node"),
    pytest.param(NODE, {"certname": NAME, "certificate": OWN}, "replayed", id="node-csr"),
    pytest.param(NODE, {"certname": NAME, "certificate": {}}, "key delivered", id="node-key"),
    pytest.param(CERTIFICATE, OWN, "replayed", id="csr"),
    pytest.param(CERTIFICATE, {}, "key delivered", id="key"),
]


@pytest.mark.parametrize("recovered", [True, False], ids=["recovered", "at-once"])
@pytest.mark.parametrize(("path", "body", "done"), CASES)
def test_a_repeat_after_a_kill_is_told_the_truth(
    tmp_path: Path, path: str, body: Json, done: str, *, recovered: bool
) -> None:
    """What was not done runs; what was done is told, never done again - whether the new espm has
    carried on what was left before the repeat comes, or the repeat has to do it.
    """
    told = []
    for steps in range(MANY):
        place = tmp_path / str(steps)
        place.mkdir()
        with running(place, Door("", "")) as espm:
            if path == CERTIFICATE:
                _add(espm.ports)
            url = f"sqlite:///{place}/ledger.db"
            cut = killed_after(steps, url, espm.ports, path, body)
            espm.ledger.orphan()
            if recovered:
                assert espm.recover() == 0
            told.append(told_truly(espm, path, body))
            assert _valid(espm) == ("certificate" in path or "certificate" in body)
            assert NAME not in espm.ca.requests
            assert espm.recover() == 0
        if not cut:
            break

    assert told == sorted(told, key=["ran", done].index), "first nothing is done, then all"
    assert told.count("ran") > 4
    assert told[-1] == done
