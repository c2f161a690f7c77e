"""Questions about certificates in the ledger: of one node, of one key, of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from espm.ledger import rows
from espm.ledger.schema import certificates, ended, nodes, standing, unended, usable
from espm.model import CertificateState, Certname

if TYPE_CHECKING:
    from datetime import datetime

    from espm.model import Certificate


def latest(generation: int) -> sa.Select[Any]:
    """Return the query for the node's latest certificate that is not void."""
    query = sa.select(certificates).where(
        certificates.c.generation == generation, certificates.c.state != CertificateState.VOID
    )
    return query.order_by(certificates.c.ident.desc()).limit(1)


def orders(certname: str, key_sha256: str) -> sa.Select[Any]:
    """Return the query for what is ordered or valid of that name and key, of whichever life."""
    return _named().where(
        nodes.c.certname == certname, certificates.c.key_sha256 == key_sha256, unended, usable
    )


def others(certname: str, certificate: Certificate) -> sa.Select[Any]:
    """Return the query for other orders of the same name and key, ordered or valid."""
    same = orders(certname, certificate.key_sha256)
    return same.where(certificates.c.ident != certificate.ident)


def ended_since(moment: datetime) -> sa.Select[Any]:
    """Return the query for certificates that ended after *moment*, and whose they were."""
    return _named().where(certificates.c.ended_at > moment).order_by(certificates.c.ended_at)


def strays() -> sa.Select[Any]:
    """Return the query for standing certificates of nodes whose life is over."""
    return _named().where(standing, ended)


def everyone(after: int, limit: int) -> sa.Select[Any]:
    """Return the query for a page of all certificates behind the ident *after*, in that order."""
    query = _named().where(certificates.c.ident > after)
    return query.order_by(certificates.c.ident).limit(limit)


def count() -> sa.Select[Any]:
    """Return the query for how many certificates there are."""
    return sa.select(sa.func.count(certificates.c.ident))


def fetch(connection: sa.Connection, query: sa.Select[Any]) -> list[tuple[Certname, Certificate]]:
    """Return the certificates that *query* finds, each with the name of its node."""
    found = connection.execute(query).mappings()
    return [(Certname(row[nodes.c.certname]), rows.certificate(row)) for row in found]


def _named() -> sa.Select[Any]:
    return sa.select(certificates, nodes.c.certname).join_from(certificates, nodes)
