"""What the ledger tells without changing anything: the reading half of the port.

None of them waits for a transaction that writes.
"""

from __future__ import annotations

from array import array
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from espm.ledger import certificate_lists, certificates, claims, jobs, nodes, rows
from espm.ledger.claims import now
from espm.ledger.engine import reading
from espm.ledger.lists import listed
from espm.ledger.schema import certificates as table
from espm.model import CertificateState, NodeState, Revoked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    import sqlalchemy as sa

    from espm.model import (
        Backlog,
        Certificate,
        Certname,
        Intent,
        IntentKind,
        Job,
        Node,
    )

# How many rows one question of those that yield reads: a megabyte or so.
_BATCH = 500


class Reader:
    """The methods of :class:`espm.ports.Ledger` that only read."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def node(self, platform: str, certname: Certname) -> Node:
        """See :meth:`espm.ports.Ledger.node`."""
        with reading(self._engine) as connection:
            return nodes.find(connection, platform, certname)

    def was_deleted(self, platform: str, certname: Certname) -> bool:
        """See :meth:`espm.ports.Ledger.was_deleted`."""
        with reading(self._engine) as connection:
            ended = connection.execute(nodes.last_ended(platform, certname)).scalar()
            return bool(ended == NodeState.DELETED)

    def page(
        self, platform: str, *, state: NodeState | None, after: Certname | None, limit: int
    ) -> Sequence[Node]:
        """See :meth:`espm.ports.Ledger.page`."""
        with reading(self._engine) as connection:
            return nodes.fetch(connection, nodes.page(platform, state, after, limit))

    def nodes(self) -> Iterator[Node]:
        """See :meth:`espm.ports.Ledger.nodes`; by name, no transaction open between two nodes."""
        after, batch = "", self._batch("")
        while batch:
            yield from batch
            after = batch[-1].certname
            batch = self._batch(after)

    def _batch(self, after: str) -> Sequence[Node]:
        with reading(self._engine) as connection:
            return nodes.fetch(connection, nodes.everyone(after, _BATCH))

    def certificate(self, node: Node) -> Certificate | None:
        """See :meth:`espm.ports.Ledger.certificate`."""
        with reading(self._engine) as connection:
            row = connection.execute(certificate_lists.latest(node.generation)).mappings().first()
            return rows.certificate(row) if row else None

    def certificates(self, node: Node) -> Sequence[Certificate]:
        """See :meth:`espm.ports.Ledger.certificates`."""
        with reading(self._engine) as connection:
            return certificates.outstanding(connection, [node.generation])[node.generation]

    def certificates_of(self, generations: Sequence[int]) -> Mapping[int, Sequence[Certificate]]:
        """See :meth:`espm.ports.Ledger.certificates_of`."""
        if not generations:
            return {}
        with reading(self._engine) as connection:
            return certificates.outstanding(connection, generations)

    def all_certificates(self) -> Iterator[tuple[Certname, Certificate]]:
        """See :meth:`espm.ports.Ledger.all_certificates`."""
        after = 0
        while batch := self._certificates_after(after):
            yield from batch
            after = batch[-1][1].ident

    def _certificates_after(self, ident: int) -> Sequence[tuple[Certname, Certificate]]:
        with reading(self._engine) as connection:
            return certificate_lists.fetch(connection, certificate_lists.everyone(ident, _BATCH))

    def certificate_count(self) -> int:
        """See :meth:`espm.ports.Ledger.certificate_count`."""
        with reading(self._engine) as connection:
            return int(connection.execute(certificate_lists.count()).scalar_one())

    def platforms_of(self, named: Iterable[Certificate]) -> Mapping[int, str]:
        """See :meth:`espm.ports.Ledger.platforms_of`."""
        generations = sorted({certificate.generation for certificate in named})
        found: dict[int, str] = {}
        for start in range(0, len(generations), _BATCH):
            some = {"of": generations[start : start + _BATCH]}
            with reading(self._engine) as connection:
                found.update((row[0], row[1]) for row in connection.execute(nodes.PLATFORMS, some))
        return found

    def watched(self, seconds: float) -> Sequence[tuple[Certname, Certificate]]:
        """See :meth:`espm.ports.Ledger.watched`."""
        void = _ended_as(CertificateState.VOID, seconds)
        with reading(self._engine) as connection:
            recent = certificate_lists.fetch(connection, void)
            return [*certificate_lists.fetch(connection, certificate_lists.strays()), *recent]

    def revoked(self, seconds: float) -> Revoked:
        """See :meth:`espm.ports.Ledger.revoked`."""
        query = _ended_as(CertificateState.REVOKED, seconds)
        idents, serials = array("q"), set()
        with reading(self._engine) as connection:
            for ident, serial in connection.execute(
                query.with_only_columns(table.c.ident, table.c.serial)
            ):
                idents.append(ident)
                serials.add(int(serial, 16))
        return Revoked(serials, self._pages(query, idents))

    def _pages(
        self, query: sa.Select[Any], idents: array[int]
    ) -> Iterator[tuple[Certname, Certificate]]:
        """Yield what *query* finds, of those with *idents*, a few at a time."""
        these = query.where(listed(table.c.ident, "of"))
        for start in range(0, len(idents), _BATCH):
            page = these.params(of=idents[start : start + _BATCH].tolist())
            with reading(self._engine) as connection:
                batch = certificate_lists.fetch(connection, page)
            yield from batch

    def has_successor(self, certname: Certname, certificate: Certificate) -> bool:
        """See :meth:`espm.ports.Ledger.has_successor`."""
        with reading(self._engine) as connection:
            query = certificate_lists.others(certname, certificate).limit(1)
            return connection.execute(query).first() is not None

    def job(self, platform: str, ident: str) -> Job:
        """See :meth:`espm.ports.Ledger.job`."""
        with reading(self._engine) as connection:
            return jobs.find(connection, platform, ident)

    def open_intent(self, node: Node, kinds: Collection[IntentKind]) -> Intent | None:
        """See :meth:`espm.ports.Ledger.open_intent`."""
        with reading(self._engine) as connection:
            return jobs.open_of(connection, node, kinds)

    def is_closed(self, intent: Intent) -> bool:
        """See :meth:`espm.ports.Ledger.is_closed`."""
        with reading(self._engine) as connection:
            return claims.is_closed(connection, intent)

    def backlog(self) -> Backlog:
        """See :meth:`espm.ports.Ledger.backlog`."""
        with reading(self._engine) as connection:
            return jobs.backlog(connection)


def _ended_as(state: CertificateState, seconds: float) -> sa.Select[Any]:
    """Return the query for certificates that ended in *state* within the last *seconds*."""
    return certificate_lists.ended_since(now() - timedelta(seconds=seconds)).where(
        table.c.state == state
    )
