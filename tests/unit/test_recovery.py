"""Killed anywhere, espm finishes or takes back what it did: tried at each single step.

A step is a call of one of the ports.  From the chosen step on every call fails, which is what a
``kill -9`` before it looks like from outside; then espm starts anew on what is there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from espm import certificates, ledger, nodes
from espm.model import CertificateState, Certname, Classification, NodeState
from espm.ordering import Order
from tests.api.platform import PLATFORMS, Door, Espm, running
from tests.crls import is_revoked

if TYPE_CHECKING:
    from pathlib import Path

    from espm.ports import Ports

pytestmark = pytest.mark.slow

CLOUD = PLATFORMS[0]
NAME = Certname("web-1.example.com")
OLD, NEW = Classification(groups=("base",)), Classification(groups=("web",), classes={"ntp": {}})
#: More steps than any of the operations has.
MANY = 60

Work = Callable[["Ports"], object]


class Killed(BaseException):
    """The process is no more."""


class Life:
    """Counts the steps; there are none behind the last."""

    def __init__(self, last: int) -> None:
        self.left = last

    def step(self) -> None:
        """Take one step."""
        self.left -= 1
        if self.left < 0:
            raise Killed


class Mortal:
    """A port each of whose calls is a step."""

    def __init__(self, port: Any, life: Life) -> None:
        self._port = port
        self._life = life

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._life.step()
            return method(*args, **kwargs)

        return call


def _killed_after(steps: int, work: Work, ports: Ports) -> bool:
    """Return whether *work* was cut short."""
    life = Life(steps)
    mortal = replace(
        ports,
        ledger=Mortal(ports.ledger, life),
        classifier=Mortal(ports.classifier, life),
        ca=Mortal(ports.ca, life),
    )
    try:
        work(mortal)
    except Killed:
        return True
    return False


def _start_anew(espm: Espm) -> None:
    assert espm.recover() == 0


def _valid(espm: Espm) -> bool:
    """Return whether the CA holds a certificate of the name that its CRL does not show."""
    pem = espm.ca.issued.get(NAME)
    return pem is not None and not is_revoked(espm.ca.crl(), pem, espm.ca.bundle())


def _add(ports: Ports, order: Order | None = None) -> object:
    return nodes.add_node(CLOUD, NAME, OLD, ports, order=order, request_id="r")


def _delete(ports: Ports) -> None:
    nodes.delete_node(CLOUD, NAME, ports, request_id="r")


def _each_step(
    tmp_path: Path, before: Work, work: Work, check: Callable[[Espm, bool], None]
) -> int:
    """Kill *work* at each of its steps, with a new espm each time; return how many it has."""
    for steps in range(MANY):
        place = tmp_path / str(steps)
        place.mkdir()
        with running(place, Door("", "")) as espm:
            before(espm.ports)
            with ledger.open_ledger(f"sqlite:///{place}/ledger.db") as doomed:
                cut = _killed_after(steps, work, replace(espm.ports, ledger=doomed))
            _start_anew(espm)
            check(espm, cut)
        if not cut:
            return steps
    pytest.fail("it never ended")


def _nothing(_: Ports) -> None:
    """Need nothing before."""


def test_an_addition_is_taken_back_or_done(tmp_path: Path) -> None:
    """Nothing classified, nothing valid, nothing waiting, the name free - or all of it."""

    def check(espm: Espm, cut: bool) -> None:  # noqa: FBT001 -- a callback
        states = [node.state for node in espm.ledger.nodes()]
        whole = states == [NodeState.ACTIVE]
        assert states in ([], [NodeState.ACTIVE])
        assert whole or cut
        assert _valid(espm) == whole
        assert (espm.document(NAME) is not None) == whole
        assert NAME not in espm.ca.requests
        if not whole:
            _add(espm.ports, Order())

    assert _each_step(tmp_path, _nothing, lambda ports: _add(ports, Order()), check) > 8


def test_a_deletion_is_finished_once_it_began(tmp_path: Path) -> None:
    """The node is as it was, or gone with its certificate revoked."""

    def check(espm: Espm, cut: bool) -> None:  # noqa: FBT001 -- a callback
        left = [node.state for node in espm.ledger.nodes()]
        assert left in ([], [NodeState.ACTIVE])
        assert not left or cut
        assert _valid(espm) == bool(left)
        assert (espm.document(NAME) is not None) == bool(left)
        _delete(espm.ports)
        assert not _valid(espm)

    assert _each_step(tmp_path, lambda ports: _add(ports, Order()), _delete, check) > 5


def test_a_change_is_whole_or_not_at_all(tmp_path: Path) -> None:
    """Ledger and document say the same, and the node can be changed again."""

    def change(ports: Ports) -> None:
        nodes.change_node(CLOUD, NAME, NEW, ports, request_id="r")

    def check(espm: Espm, cut: bool) -> None:  # noqa: FBT001 -- a callback
        (node,) = espm.ledger.nodes()
        assert node.classification in (OLD, NEW)
        assert cut or node.classification == NEW
        assert ("profile::web" in (espm.document(NAME) or "")) == (node.classification == NEW)
        change(espm.ports)
        assert "profile::web" in (espm.document(NAME) or "")

    assert _each_step(tmp_path, _add, change, check) > 2


def test_an_issue_leaves_no_certificate_without_a_key(tmp_path: Path) -> None:
    """A key that espm made went with it, so its certificate is revoked; another can be had."""

    def issue(ports: Ports) -> None:
        certificates.issue(CLOUD, NAME, Order(), ports, request_id="r")

    def check(espm: Espm, cut: bool) -> None:  # noqa: FBT001 -- a callback
        (node,) = espm.ledger.nodes()
        held = [each.state for each in espm.ledger.certificates(node)]
        assert held in ([], [CertificateState.VALID])
        assert _valid(espm) == bool(held)
        assert held or cut
        if not held:
            issue(espm.ports)

    assert _each_step(tmp_path, _add, issue, check) > 6


def test_a_revocation_is_finished_once_it_began(tmp_path: Path) -> None:
    """The certificate is valid and the ledger says so, or it is in the CRL."""

    def revoke(ports: Ports) -> None:
        certificates.revoke(CLOUD, NAME, ports, request_id="r")

    def check(espm: Espm, cut: bool) -> None:  # noqa: FBT001 -- a callback
        (node,) = espm.ledger.nodes()
        held = [each.state for each in espm.ledger.certificates(node)]
        assert held in ([], [CertificateState.VALID])
        assert _valid(espm) == bool(held)
        assert not held or cut
        revoke(espm.ports)
        assert not _valid(espm)

    assert _each_step(tmp_path, lambda ports: _add(ports, Order()), revoke, check) > 5
