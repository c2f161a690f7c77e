"""What can be seen of a world from outside: documents, certificates, and whether all is well."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cryptography.x509 import load_pem_x509_certificate

from espm import x509
from espm.errors import NodeUnknown
from espm.ledger import chain, open_chain
from espm.model import CertificateState, Issued, NodeState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from espm.model import Node
    from tests.stateful.model import Life, Model
    from tests.stateful.world import World


def documents(world: World) -> dict[str, dict[str, Any]]:
    """Return all documents of the ENC by certname."""
    return {path.stem: json.loads(path.read_text()) for path in world.enc.glob("*.json")}


def says(world: World, node: Node) -> bool:
    """Return whether the ENC says of *node* just what it is."""
    found = documents(world).get(str(node.certname))
    wanted = world.classifier.resolve(node.classification)
    return found == {
        "espm": {"generation": node.generation, "version": node.version, "state": "present"},
        "environment": wanted.environment,
        "classes": wanted.classes,
        "parameters": wanted.parameters,
    }


def certificates_of(world: World) -> dict[int, Issued]:
    """Return every certificate that the CA ever signed for a node, by serial."""
    parsed = (x509.parse_certificate(pem) for pem in world.ca.signed[1:])
    return {issued.serial: issued for issued in parsed}


def serials_of(world: World, generation: int, renewed: Mapping[int, int]) -> set[int]:
    """Return the serials of a node's certificates that the ledger knows, and what renewed them."""
    known = {
        each.issued.serial
        for _, each in world.ledger.all_certificates()
        if each.generation == generation and each.issued is not None
    }
    return known | {renewed[serial] for serial in known if serial in renewed}


def serial(pem: bytes) -> int:
    """Return the serial of a certificate."""
    return load_pem_x509_certificate(pem).serial_number


def check_facts(world: World, model: Model) -> None:
    """Compare what holds at every moment with what is there."""
    assert not world.bugs.found, f"an error that nobody foresaw: {world.bugs.found!r}"
    there = documents(world)
    for key, life in model.lives.items():
        _check_life(world, key[0], life, there.get(key[1], {}).get("espm"))
    for name, document in there.items():
        assert document["espm"]["generation"] not in model.over, f"{name} is classified still"
    assert model.dead - model.forgotten <= world.ca.revoked, "a revocation is gone"
    for name, pem in model.theirs.items():
        assert world.ca.issued.get(name) == pem, f"a stranger's certificate is gone: {name}"
    assert not {serial(pem) for pem in model.theirs_ever} & world.ca.revoked, "a stranger's"
    for name, csr in model.asking.items():
        assert world.ca.requests.get(name) == csr, f"a stranger's CSR is gone: {name}"


def _check_life(world: World, platform: str, life: Life, stamp: dict[str, Any] | None) -> None:
    generation = life.node.generation
    if life.doomed:
        given = (generation, "present")
        assert (stamp and (stamp["generation"], stamp["state"])) != given, "doomed, not withheld"
    if not life.stands:
        return
    try:
        node = world.ledger.node(platform, life.node.certname)
    except NodeUnknown:
        node = None
    assert node is not None, f"{life.node.certname} is gone from the ledger"
    assert (node.generation, node.state) == (generation, NodeState.ACTIVE)
    assert node.version >= life.node.version, "the version went back"
    assert node.classification in (life.sure, *life.unsure.values()), "another classification"
    assert stamp is not None, f"{life.node.certname} is gone from the ENC"
    assert (stamp["generation"], stamp["state"]) == (generation, "present")
    assert stamp["version"] >= life.node.version, "the version of the document went back"
    if life.certified is not None:
        assert life.certified not in world.ca.revoked, "a certificate that was given is revoked"
        held = world.ledger.certificates(node)
        assert life.certified in [each.issued.serial for each in held if each.issued is not None]


def check_calm(world: World, model: Model) -> None:
    """Compare what there is with the ledger, when nothing is under way."""
    assert not world.ledger.backlog().open, f"never over: {world.ledger.backlog()}"
    nodes = {str(node.certname): node for node in world.ledger.nodes()}
    assert sorted(documents(world)) == sorted(nodes), "documents and ledger differ"
    assert all(says(world, node) for node in nodes.values()), "a document is not as the ledger"
    valid = _valid(world, nodes)
    _check_ca(world, model, valid | {model.renewed[each] for each in valid & set(model.renewed)})
    with open_chain(world.url) as log:
        rows = list(log.rows())
        assert chain.fault(rows, log.ends()[1]) is None
    _check_told(world, rows)


def _valid(world: World, nodes: Mapping[str, Node]) -> set[int]:
    """Return the serials that the ledger has as valid, one of a live node at most."""
    rows = [
        (name, each)
        for name, each in world.ledger.all_certificates()
        if each.state not in {CertificateState.VOID, CertificateState.REVOKED}
    ]
    assert len({name for name, _ in rows}) == len(rows), "a node has two certificates"
    for name, each in rows:
        assert each.state is CertificateState.VALID
        assert each.generation == nodes[name].generation
    return {each.issued.serial for _, each in rows if each.issued is not None}


def _check_ca(world: World, model: Model, valid: set[int]) -> None:
    theirs = {serial(pem) for pem in model.theirs_ever}
    for number, issued in certificates_of(world).items():
        lives = number not in world.ca.revoked
        assert lives == (number in valid | theirs), f"serial {number} of {issued.fingerprint}"
    for name, pem in world.ca.issued.items():
        assert serial(pem) in valid | theirs, f"the name {name} is not free"
    ordered = {each.key_sha256 for _, each in world.ledger.all_certificates()}
    for name, csr in world.ca.requests.items():
        ours = x509.csr_key_sha256(csr) in ordered and csr not in model.agents.values()
        assert not ours, f"a CSR of ours waits: {name}"


def _check_told(world: World, rows: list[dict[str, Any]]) -> None:
    told = {row["serial"] for row in rows if (row["action"], row["outcome"]) == ("revoke", "done")}
    for _, each in world.ledger.all_certificates():
        if each.state is CertificateState.REVOKED and each.issued is not None:
            assert f"{each.issued.serial:X}" in told, "a revocation is not in the audit log"
