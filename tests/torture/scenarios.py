"""What is done to a node while the daemon is killed: each way to begin, change and end a life."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from espm import x509
from tests.torture.witness import new_csr

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.torture.witness import Witness
    from tests.torture.world import World


@dataclass(frozen=True)
class Scenario:
    """A deed and what comes before it.

    :ivar prepare: what is done in peace.
    :ivar act: what is done while points are counted.
    :ivar after: what is done when all has settled; returns what went wrong.
    """

    prepare: Callable[[World, Witness], Any]
    act: Callable[[World, Witness], Any]
    after: Callable[[Witness], list[str]] = lambda _: []


def _nothing(_: World, __: Witness) -> None:
    """Come to an empty place."""


def _a_node(_: World, witness: Witness) -> None:
    assert witness.add() == 201


def _a_node_with_certificate(_: World, witness: Witness) -> None:
    assert witness.add({}) == 201


def _a_pending_csr(world: World, witness: Witness) -> None:
    world.holdings.hand_in(witness.name, new_csr(witness.name))


def _a_node_and_a_pending_csr(world: World, witness: Witness) -> None:
    _a_node(world, witness)
    _a_pending_csr(world, witness)


def _add(_: World, witness: Witness) -> int:
    return witness.add()


def _add_with_key(_: World, witness: Witness) -> int:
    return witness.add({})


def _add_with_csr(_: World, witness: Witness) -> int:
    return witness.add({"csr": new_csr(witness.name).decode()})


def _add_once(_: World, witness: Witness) -> int:
    return witness.add({"csr": new_csr(witness.name).decode()}, key="once")


def _add_again(witness: Witness) -> list[str]:
    status = witness.repeat()
    return [] if status == 201 else [f"the repeat with the same Idempotency-Key is {status}"]


def _pending(world: World, witness: Witness) -> dict[str, str]:
    return {"sign_pending": x509.csr_der_sha256(world.holdings.waiting()[witness.name])}


def _add_sign_pending(world: World, witness: Witness) -> int:
    return witness.add(_pending(world, witness))


def _add_replacing(_: World, witness: Witness) -> int:
    return witness.add({"replace_pending": True})


def _put(_: World, witness: Witness) -> int:
    return witness.put()


def _issue_with_key(_: World, witness: Witness) -> int:
    return witness.issue({})


def _issue_with_csr(_: World, witness: Witness) -> int:
    return witness.issue({"csr": new_csr(witness.name).decode()})


def _issue_pending(world: World, witness: Witness) -> int:
    return witness.issue(_pending(world, witness))


def _revoke(_: World, witness: Witness) -> int:
    return witness.revoke()


def _delete(_: World, witness: Witness) -> int:
    return witness.delete()


SCENARIOS = {
    "add": Scenario(_nothing, _add),
    "add with key": Scenario(_nothing, _add_with_key),
    "add with csr": Scenario(_nothing, _add_with_csr),
    "add with csr, Idempotency-Key": Scenario(_nothing, _add_once, _add_again),
    "add, sign_pending": Scenario(_a_pending_csr, _add_sign_pending),
    "add, replace_pending": Scenario(_a_pending_csr, _add_replacing),
    "put": Scenario(_a_node, _put),
    "issue with key": Scenario(_a_node, _issue_with_key),
    "issue with csr": Scenario(_a_node, _issue_with_csr),
    "issue, sign_pending": Scenario(_a_node_and_a_pending_csr, _issue_pending),
    "revoke": Scenario(_a_node_with_certificate, _revoke),
    "delete": Scenario(_a_node, _delete),
    "delete with certificate": Scenario(_a_node_with_certificate, _delete),
}
