"""A ledger of 100,000 certificates against a CRL as long, in less than a minute."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509 as lib
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from espm.doctor.replay import replay
from espm.x509 import parse_certificate
from tests.api.platform import Door, running

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from espm.model import Issued
    from tests.fakes import FakeCa

pytestmark = [pytest.mark.slow, pytest.mark.timing, pytest.mark.timeout(600)]

ROWS, DISTINCT = 100_000, 2_000

_CERTIFICATES = """
INSERT INTO certificates (generation, key_sha256, key_maker, state, serial, fingerprint, pem,
                          not_before, not_after, ended_at)
VALUES (?, ?, 'espm', 'revoked', ?, ?, ?, ?, ?, ?)
"""


def many(ca: FakeCa) -> list[Issued]:
    """Return as many certificates as make a ledger, when each is there many times over."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    name = lib.Name.from_rfc4514_string("CN=web1.example.com")
    return [parse_certificate(ca._issue(name, key, ca=False)) for _ in range(DISTINCT)]


def filled(path: Path, found: Sequence[Issued]) -> None:
    """Write a ledger of ended lives, by SQL; by the port it would take an hour."""
    moment = "2026-11-21 00:00:00.000000"
    with closing(sqlite3.connect(path)) as database, database:
        for row in range(1, ROWS + 1):
            each = found[row % DISTINCT]
            dates = (f"{end:%Y-%m-%d %H:%M:%S.%f}" for end in (each.not_before, each.not_after))
            values = (each.key_sha256, f"{each.serial:x}", each.fingerprint, each.pem)
            node = (row, f"web-{row}.example.com", "cloud", "deleted", 1, "{}", *[moment] * 3)
            database.execute("INSERT INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", node)
            database.execute(_CERTIFICATES, (row, *values, *dates, moment))


def crl(ca: FakeCa, serials: Sequence[int]) -> bytes:
    """Return a CRL of *serials*; the fake's own way takes time by the square of their number."""
    now = datetime.now(UTC)
    listed = [lib.RevokedCertificateBuilder(serial, now).build() for serial in serials]
    builder = lib.CertificateRevocationListBuilder(
        ca._name, now - timedelta(minutes=1), now + timedelta(days=1), [], listed
    )
    return builder.sign(ca._key, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_a_hundred_thousand_rows_take_less_than_a_minute(tmp_path: Path) -> None:
    """And of those that were lost, each row is found."""
    with running(tmp_path, Door("", "")) as espm:
        found = many(espm.ca)
        filled(tmp_path / "ledger.db", found)
        others = range(10_000_000, 10_000_000 + ROWS - DISTINCT)
        pem = crl(espm.ca, [*(each.serial for each in found[1:]), *others])
        espm.ca.crl = lambda: pem  # type: ignore[method-assign]

        begun = time.monotonic()
        replayed = replay(espm.ports)
        taken = time.monotonic() - begun

    assert (replayed.looked_at, replayed.ended) == (ROWS, ROWS)
    assert len(replayed.lost) == ROWS // DISTINCT
    assert taken < 60
