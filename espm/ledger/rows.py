"""Between rows of the ledger and the values of :mod:`espm.model`; nothing else knows columns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from espm.ledger.schema import certificates, intents, nodes, replays
from espm.model import (
    Certificate,
    CertificateState,
    Certname,
    Classification,
    Intent,
    IntentKind,
    Issued,
    Kept,
    KeyMaker,
    Node,
    NodeState,
    Replay,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import RowMapping

    from espm.model import Json


# Made once: what json.dumps makes anew for each call takes longer than a short value.
_write = json.JSONEncoder(separators=(",", ":")).encode


def dump(value: Json) -> str:
    """Return *value* as JSON text in ASCII, the order of keys kept.

    ASCII, because a JSON string may hold what no database takes as text: NUL, lone surrogates.
    """
    return _write(value)


def dump_classification(classification: Classification) -> str:
    """Return *classification* as JSON text."""
    return dump(
        {
            "environment": classification.environment,
            "groups": list(classification.groups),
            "classes": {name: dict(given) for name, given in classification.classes.items()},
            "parameters": dict(classification.parameters),
        }
    )


def storable(text: str) -> str:
    """Return *text* with whatever no database takes as text written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def node(row: RowMapping) -> Node:
    """Return the node of *row*, which may have other columns as well."""
    return node_of([row[column] for column in nodes.c])


def node_of(row: Sequence[Any]) -> Node:
    """Return the node of *row*, which has the columns of the table and no others.

    A page of nodes is looked up by place: by name it took twice the time.
    """
    generation, certname, platform, state, version, said, created, updated, _ended = row
    return Node(
        generation=generation,
        certname=Certname(certname),
        platform=platform,
        state=NodeState(state),
        version=version,
        classification=_classification(said),
        created=created,
        updated=updated,
    )


def _classification(text: str) -> Classification:
    document = json.loads(text)
    return Classification(
        environment=document["environment"],
        groups=tuple(document["groups"]),
        classes=document["classes"],
        parameters=document["parameters"],
    )


def intent(row: RowMapping) -> Intent:
    """Return the intent of *row*."""
    return Intent(
        ident=row[intents.c.ident],
        generation=row[intents.c.generation],
        kind=IntentKind(row[intents.c.kind]),
        created=row[intents.c.created_at],
        payload=json.loads(row[intents.c.payload]),
        attempts=row[intents.c.attempts],
        last_error=row[intents.c.last_error],
    )


def certificate(row: RowMapping) -> Certificate:
    """Return the certificate of *row*, which may have other columns as well."""
    return certificate_of([row[column] for column in certificates.c])


def certificate_of(row: Sequence[Any]) -> Certificate:
    """Return the certificate of *row*, which begins with the columns of the table."""
    ident, generation, key_sha256, maker, state, serial, fingerprint, pem, start, end, *_ = row
    issued = None
    if serial:
        issued = Issued(pem, int(serial, 16), fingerprint, key_sha256, start, end)
    return Certificate(
        ident=ident,
        generation=generation,
        key_sha256=key_sha256,
        key_maker=KeyMaker(maker),
        state=CertificateState(state),
        issued=issued,
    )


def issued_values(issued: Issued) -> Mapping[str, Any]:
    """Return the columns that *issued* fills."""
    return {
        "serial": f"{issued.serial:x}",
        "fingerprint": issued.fingerprint,
        "pem": issued.pem,
        "not_before": issued.not_before,
        "not_after": issued.not_after,
    }


def replay(row: RowMapping) -> Replay:
    """Return the replay of *row*, which has its intent, its node and its certificate as well."""
    ordered = row[replays.c.certificate] is not None
    return Replay(
        ident=row[replays.c.ident],
        digest=row[replays.c.digest],
        kind=IntentKind(row[intents.c.kind]),
        open=row[intents.c.closed_at] is None,
        made=row[replays.c.made],
        node=node(row),
        certificate=certificate(row) if ordered else None,
        kept=_kept(row) if row[replays.c.body] is not None else None,
    )


def _kept(row: RowMapping) -> Kept:
    return Kept(json.loads(row[replays.c.headers]), row[replays.c.body])
