"""What the accountant makes of a CA's files."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from espm import x509
from espm.model import Certname
from tests.fakes import FakeCa
from tests.torture.holdings import DOMAIN, LiveHoldings

if TYPE_CHECKING:
    from pathlib import Path

NAME = Certname(f"n1{DOMAIN}")


class Files:
    """The files of a CA, as a Puppet Server leaves them that is killed somewhere."""

    def __init__(self, root: Path) -> None:
        self._root, self._ca = root, FakeCa()
        for place in ("signed", "requests"):
            (root / place).mkdir()
        (root / "inventory.txt").write_text("")
        self.revoke()
        self._made = self.anew()

    def hand_in(self) -> None:
        """Put a CSR."""
        pem = x509.new_csr(NAME, x509.new_key())
        self._ca.submit(NAME, pem)
        (self._root / f"requests/{NAME}.pem").write_bytes(pem)

    def note(self) -> int:
        """Sign, and write the line of the inventory; return the serial."""
        self._pem = self._ca.sign(NAME).pem
        serial = x509.parse_certificate(self._pem).serial
        with (self._root / "inventory.txt").open("a") as inventory:
            inventory.write(
                f"0x{serial:04x} 2026-01-01T00:00:00UTC 2031-01-01T00:00:00UTC /CN={NAME}\n"
            )
        return serial

    def write(self) -> None:
        """Write the certificate."""
        (self._root / f"signed/{NAME}.pem").write_bytes(self._pem)

    def revoke(self) -> None:
        """Revoke what there is."""
        if self._ca.certificate(NAME):
            self._ca.revoke([NAME])
        (self._root / "ca_crl.pem").write_bytes(self._ca.crl())

    def clean(self) -> None:
        """Remove the certificate."""
        (self._root / f"signed/{NAME}.pem").unlink()
        self._ca.clean(NAME)

    def holdings(self) -> LiveHoldings:
        """Return what the accountant makes of them after the kill."""
        self._made.note_unfinished()
        return self._made

    def anew(self) -> LiveHoldings:
        """Return what an accountant looks at who comes now."""
        return LiveHoldings(SimpleNamespace(cadir=self._root))  # type: ignore[arg-type]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Return the files of a CA that has signed nothing."""
    return Files(tmp_path)


def test_what_was_noted_and_not_written_was_never_signed(files: Files) -> None:
    """Nobody has that certificate: only its serial is gone."""
    files.hand_in()
    files.note()

    assert files.holdings().issued() == {}


def test_what_was_written_counts(files: Files) -> None:
    """Also while the CSR is still there."""
    files.hand_in()
    serial = files.note()
    files.write()

    assert files.holdings().issued() == {serial: NAME}


def test_what_was_removed_unrevoked_counts(files: Files) -> None:
    """That is the fault that the accountant is there for."""
    files.hand_in()
    serial = files.note()
    files.write()
    files.clean()
    (files._root / f"requests/{NAME}.pem").unlink()

    assert files.holdings().issued() == {serial: NAME}


def test_what_was_seen_counts(files: Files) -> None:
    """It was there, vanished unrevoked, and the name was handed out again."""
    files.hand_in()
    serial = files.note()
    files.write()
    holdings = files.holdings()
    files.clean()
    files.hand_in()

    assert holdings.held() == {}
    holdings.note_unfinished()

    assert holdings.issued() == {serial: NAME}


def test_an_earlier_life_counts(files: Files) -> None:
    """It was revoked, and the next one has only come to its CSR."""
    files.hand_in()
    serial = files.note()
    files.write()
    files.revoke()
    files.clean()
    files.hand_in()

    assert files.holdings().issued() == {serial: NAME}


def test_what_another_espm_has_left_does_not_count(files: Files) -> None:
    """Several worlds have the same CA, one after the other."""
    files.hand_in()
    files.note()
    files.write()

    anew = files.anew()

    assert (anew.issued(), anew.held(), anew.waiting()) == ({}, {}, {})
