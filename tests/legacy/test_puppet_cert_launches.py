"""Launches and retirements by the use cases, with an old Puppet's CA that starts as slowly."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from espm import x509
from espm.ca import puppet_cert
from espm.errors import BackendError, InvalidCsr
from espm.model import Certname, Classification
from espm.nodes import add_node, delete_node
from espm.ordering import Order
from espm.revoker import Revoker
from tests import scratch_sshd
from tests.api.platform import PLATFORMS, Door, Espm, running
from tests.legacy.old_ca import OldCa, old_ca
from tests.legacy.puppet_lab import agents_csr, revoked, serial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from espm.ports import Ports
    from tests.scratch_sshd import Sshd

log = logging.getLogger(__name__)

NAMES = [Certname(f"n{number}.example.com") for number in range(20)]


@pytest.fixture
def espm(tmp_path: Path) -> Iterator[Espm]:
    """Return an espm with a ledger and an ENC."""
    directory = tmp_path / "espm"
    directory.mkdir()
    with running(directory, Door("", "")) as started:
        yield started


def ports_of(espm: Espm, old: OldCa, **options: object) -> Ports:
    """Return what the use cases need, with the old CA."""
    return replace(espm.ports, ca=old.connect(**options), key_type=puppet_cert.KEY_TYPE)


def launch(name: Certname, ports: Ports, order: Order | None = None) -> bytes:
    """Launch a node with a certificate, of a key of espm's by default, and return it."""
    added = add_node(
        PLATFORMS[0], name, Classification(), ports, order=order or Order(), request_id="test"
    )  # fmt: skip
    assert added.delivery is not None
    assert (added.delivery.private_key is None) == (order is not None)
    assert added.delivery.certificate.issued is not None
    return added.delivery.certificate.issued.pem.encode()


def at_once(work: Callable[[Certname], object], names: list[Certname]) -> None:
    """Do *work* for all *names* at the same time."""
    threads = [threading.Thread(target=work, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def seconds(old: OldCa, action: str) -> float:
    """Return how long the commands of one action have taken together."""
    done = [each for each in old.tree.commands() if each.argv[:2] == ["cert", action]]
    return sum((each.end or each.start) - each.start for each in done)


@pytest.mark.timing
@pytest.mark.slow
def test_launches_at_the_same_time_are_signed_together(espm: Espm, old_ca_: OldCa) -> None:
    """Each gets its own certificate, and Ruby starts less often than there are nodes."""
    ports = ports_of(espm, old_ca_)
    issued: dict[str, bytes] = {}
    old_ca_.tree.tell(delay=0.5)
    at_once(lambda name: issued.update({name: launch(name, ports)}), NAMES[:8])

    assert {name: x509.common_name(pem) for name, pem in issued.items()} == {
        name: name for name in NAMES[:8]
    }
    assert len(old_ca_.ruby()) < 8


@pytest.fixture
def old_ca_(tmp_path: Path) -> OldCa:
    """Return the CA of Puppet Enterprise 2.5."""
    return old_ca(tmp_path, "2.7.12")


@pytest.mark.timing
@pytest.mark.slow
def test_20_launches_take_less_than_5_seconds_of_the_ca(espm: Espm, old_ca_: OldCa) -> None:
    """With the start-up time that the real 2.7.12 has; one by one they take more than 11."""
    ports = ports_of(espm, old_ca_)
    old_ca_.tree.tell(delay=0.55)
    at_once(lambda name: launch(name, ports), NAMES)
    together, commands = seconds(old_ca_, "sign"), len(old_ca_.ruby("sign"))
    for name in NAMES:
        launch(Certname(f"one-{name}"), ports)
    alone = seconds(old_ca_, "sign") - together
    log.info("20 launches: %.1f s in %d commands; one by one %.1f s", together, commands, alone)

    assert len(list(old_ca_.ca.joinpath("signed").glob("n*.pem"))) == 20
    assert together < 5
    assert alone > 11


@pytest.mark.timing
@pytest.mark.slow
def test_launches_by_ssh_are_signed_together(espm: Espm, old_ca_: OldCa, sshd: Sshd) -> None:
    """On one connection, with more at the same time than sshd takes sessions."""
    ports = ports_of(espm, old_ca_, **sshd.options())
    at_once(lambda name: launch(name, ports), NAMES)

    assert len(list(old_ca_.ca.joinpath("signed").glob("n*.pem"))) == 20
    assert len(old_ca_.ruby("sign")) < 10
    assert sshd.connections == 1


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """Return a running sshd."""
    directory = tmp_path / "sshd"
    directory.mkdir()
    with scratch_sshd.running(directory) as started:
        yield started


@pytest.mark.timing
@pytest.mark.slow
def test_20_retirements_are_revoked_together(espm: Espm, old_ca_: OldCa) -> None:
    """All are in the CRL, and every name is free again."""
    ports = ports_of(espm, old_ca_)
    at_once(lambda name: launch(name, ports), NAMES)
    serials = {serial(old_ca_.tree, name) for name in NAMES}
    revoker = Revoker(ports)
    ports = replace(ports, carrier=revoker)
    thread = threading.Thread(target=revoker.run)
    thread.start()
    at_once(
        lambda name: delete_node(PLATFORMS[0], name, ports, request_id="test", patience=120), NAMES
    )
    revoker.end()
    thread.join()

    assert serials <= set(revoked(old_ca_.tree))
    assert [argv for argv in old_ca_.ruby("revoke") if argv[-2] != "--"] != []
    assert len(old_ca_.ruby("revoke")) < 6
    assert [path.name for path in old_ca_.ca.joinpath("signed").glob("n*.pem")] == []


@pytest.mark.slow
@pytest.mark.parametrize("digest", ["md5", "sha1"])
@pytest.mark.parametrize("pending", [True, False], ids=["sign_pending", "csr"])
def test_the_csr_of_an_old_agent_is_signed(
    espm: Espm, old_ca_: OldCa, tmp_path: Path, digest: str, *, pending: bool
) -> None:
    """The one that waits at the CA, by its SHA-256, and one that the platform hands in; a CA of
    today's, without old agents, signs neither.
    """
    csr = agents_csr(tmp_path, NAMES[0], digest)
    order = Order(sign_pending=x509.csr_der_sha256(csr)) if pending else Order(csr=csr)
    if pending:
        old_ca_.ca.joinpath("requests", f"{NAMES[0]}.pem").write_bytes(csr)
        espm.ca.submit(NAMES[0], csr)
    with pytest.raises(InvalidCsr, match=f"not with {digest}"):
        launch(NAMES[0], espm.ports, order)
    pem = launch(NAMES[0], ports_of(espm, old_ca_), order)

    assert x509.parse_certificate(pem).key_sha256 == x509.csr_key_sha256(csr)
    assert espm.ca.issued == {}


@pytest.mark.slow
def test_the_ledger_knows_the_key_before_puppet_generates(espm: Espm, old_ca_: OldCa) -> None:
    """A generate that was killed leaves a CSR of our key, and taking the node back removes it."""
    ports = ports_of(espm, old_ca_, native_generate=True)
    old_ca_.tree.tell(die_at="csr")
    with pytest.raises(BackendError):
        launch(NAMES[0], ports)
    keys = old_ca_.tree.ssldir / "private_keys"

    assert list(old_ca_.ca.joinpath("requests").iterdir()) == []
    assert [path.name for path in keys.iterdir() if "n0" in path.name] == []
    assert list(ports.ledger.nodes()) == []
    assert x509.common_name(launch(NAMES[0], ports)) == NAMES[0]
    assert len(old_ca_.ruby("generate")) == 2
