"""The independent accountant: looks at ledger, CA and ENC directory themselves, and compares.

It uses nothing of espm.  What it says is a list of faults in words, empty when nothing valid,
nothing classified and nothing half made is unaccounted for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from tests.torture.holdings import key_sha256

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.torture.holdings import Holdings


@dataclass(frozen=True)
class Books:
    """What a ledger says."""

    nodes: list[dict[str, Any]]
    certificates: list[dict[str, Any]]
    open_intents: list[dict[str, Any]]

    @classmethod
    def read(cls, url: str) -> Books:
        """Read the ledger at *url*, in one transaction."""
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        if url.startswith("postgresql"):
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        with engine.begin() as connection:
            return cls(
                _rows(connection, "SELECT * FROM nodes"),
                _rows(connection, "SELECT * FROM certificates"),
                _rows(connection, "SELECT * FROM intents WHERE closed_at IS NULL"),
            )

    def active(self) -> dict[str, dict[str, Any]]:
        """Return the rows of nodes that are in force, by name."""
        return {row["certname"]: row for row in self.nodes if row["state"] == "active"}

    def valid(self) -> dict[int, int]:
        """Return the serial of the valid certificate, by generation of its node."""
        rows = (row for row in self.certificates if row["state"] == "valid")
        return {row["generation"]: int(row["serial"], 16) for row in rows}

    def standing(self) -> dict[str, int]:
        """Return the serial of the valid certificate of each node in force that has one."""
        valid = self.valid()
        rows = self.active().items()
        return {name: valid[row["generation"]] for name, row in rows if row["generation"] in valid}

    def turn(self, certname: str) -> tuple[Any, int | None] | None:
        """Return the parameter ``turn`` of a node in force, and the serial of its certificate."""
        row = self.active().get(certname)
        if row is None:
            return None
        parameters = json.loads(row["classification"])["parameters"]
        return parameters.get("turn"), self.valid().get(row["generation"])


def _rows(connection: sa.Connection, query: str) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(sa.text(query)).mappings()]


def faults(books: Books, holdings: Holdings, enc: Path) -> list[str]:
    """Return everything that is not as it must be when espm has settled."""
    return [
        *_half_made(books),
        *_half_ended(books),
        *_unaccounted_certificates(books, holdings),
        *_unaccounted_revocations(books, holdings),
        *_unaccounted_requests(books, holdings),
        *_unaccounted_documents(books, enc),
    ]


def _half_made(books: Books) -> Iterator[str]:
    for row in books.open_intents:
        yield f"the intent {row['kind']} of generation {row['generation']} is open"
    for row in books.nodes:
        if row["state"] not in {"active", "deleted", "undone"}:
            yield f"{row['certname']} stays in {row['state']}"
    for row in books.certificates:
        if row["state"] not in {"valid", "revoked", "void"}:
            yield f"a certificate of generation {row['generation']} stays in {row['state']}"


def _half_ended(books: Books) -> Iterator[str]:
    """Compare the two columns that tell whether a life is over."""
    for row in books.nodes:
        if (row["state"] in {"deleted", "undone"}) != (row["ended_at"] is not None):
            yield f"{row['certname']} is {row['state']}, and has its end at {row['ended_at']}"


def _unaccounted_certificates(books: Books, holdings: Holdings) -> Iterator[str]:
    """Compare every certificate that was ever signed with the ledger and with the CRL."""
    ours, held = books.standing(), holdings.held()
    revoked, issued = holdings.revoked(), holdings.issued()
    signed = {(name, serial) for serial, name in issued.items() if serial not in revoked}
    for name, serial in signed - {*ours.items()}:
        yield f"serial {serial:X} of {name} is valid at the CA and in no live row"
    for name, serial in {*ours.items()} - signed:
        yield f"serial {serial:X} of {name} is valid in the ledger and not at the CA"
    if held != ours:
        yield f"the CA holds {held}, the ledger has {ours}"


def _unaccounted_revocations(books: Books, holdings: Holdings) -> Iterator[str]:
    """Compare what the ledger says of certificates with what it says of nodes, and the CRL."""
    revoked = holdings.revoked()
    for row in books.certificates:
        if row["state"] == "revoked" and int(row["serial"], 16) not in revoked:
            yield f"serial {row['serial']} is revoked in the ledger and not in the CRL"
    for generation in books.valid().keys() - {row["generation"] for row in books.active().values()}:
        yield f"generation {generation} has a valid certificate and is not active"


def _unaccounted_requests(books: Books, holdings: Holdings) -> Iterator[str]:
    """Any CSR that waits is an agent's, and none that espm was to have signed."""
    ordered = {row["key_sha256"] for row in books.certificates}
    for name, pem in holdings.waiting().items():
        if key_sha256(pem) in ordered or key_sha256(pem) not in holdings.by_agents():
            yield f"a CSR of ours for {name} waits at the CA"


def _unaccounted_documents(books: Books, enc: Path) -> Iterator[str]:
    documents = {path.stem: json.loads(path.read_bytes()) for path in enc.glob("[!.]*.json")}
    told = {name: _told(row) for name, row in books.active().items()}
    for name in documents.keys() | told.keys():
        document = documents.get(name)
        found = document and {
            "stamp": document.get("espm"),
            "parameters": document.get("parameters"),
        }
        if found != told.get(name):
            yield f"the ENC says {found} of {name}, the ledger {told.get(name)}"
    for path in enc.glob(".aside-*"):
        yield f"{path.name} was left in the ENC directory"


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """Return what the document of a node must say."""
    stamp = {"generation": row["generation"], "version": row["version"], "state": "present"}
    return {"stamp": stamp, "parameters": json.loads(row["classification"])["parameters"]}
