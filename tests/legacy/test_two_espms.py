"""Two processes that work on one CA of old Puppet, as two espms do which share it."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from typing import TYPE_CHECKING

import pytest

from espm import x509
from espm.errors import BackendError
from espm.model import Certname
from tests.legacy.old_ca import OldCa, old_ca
from tests.legacy.puppet_lab import revoked

if TYPE_CHECKING:
    from pathlib import Path

    from espm.ca.puppet_cert import PuppetCert

#: How many certificates each of them orders and ends.
EACH = 5

_LOCK = 'flock "$3" -w "$limit" "$1" ||'


def _life(ca: PuppetCert, name: Certname) -> int:
    ca.submit(name, x509.new_csr(name, x509.new_key("rsa2048")))
    issued = x509.parse_certificate(ca.sign(name).pem)
    # Whatever it says, the CRL is what counts.
    with suppress(BackendError):
        ca.revoke([name])
    return issued.serial


def work(old: OldCa, prefix: str) -> list[int]:
    """Be one espm: have certificates signed and revoked side by side; return their serials."""
    ca = old.connect()
    names = [Certname(f"{prefix}{number}.example.com") for number in range(EACH)]
    with ThreadPoolExecutor(EACH) as pool:
        return list(pool.map(lambda name: _life(ca, name), names))


def both(old: OldCa) -> list[int]:
    """Let two of them work at the same time, and return the serials of both."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        return [serial for found in pool.map(work, [old] * 2, ["a", "b"]) for serial in found]


@pytest.fixture
def old(tmp_path: Path) -> OldCa:
    """Return the CA of Puppet Enterprise 2.5, slow between reading and writing its CRL."""
    return old_ca(tmp_path, "2.7.12", crl_gap=0.1)


@pytest.mark.slow
def test_two_processes_lose_nothing(old: OldCa) -> None:
    """All serials differ, each is in the inventory once, and each is in the CRL."""
    serials = both(old)
    inventory = (old.ca / "inventory.txt").read_text().splitlines()
    numbers = [int(line.split()[0], 16) for line in inventory if "/CN=" in line]

    assert len(set(serials)) == 2 * EACH
    assert sorted(numbers) == sorted([1, *serials])
    assert set(serials) == set(revoked(old.tree))
    assert list(old.ca.joinpath("requests").iterdir()) == []


@pytest.mark.slow
@pytest.mark.timing
def test_without_the_lock_they_lose_revocations(old: OldCa) -> None:
    """So that the test above can fail: nothing but the helper's lock stands between them."""
    text = old.helper.read_text()
    assert _LOCK in text
    old.helper.write_text(text.replace(_LOCK, "true ||"))
    serials = both(old)

    assert len(set(serials) & set(revoked(old.tree))) < 2 * EACH
