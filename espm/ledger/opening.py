"""Opening a ledger: the one place where URL, schema and what works on it come together."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from espm.ledger.address import parse
from espm.ledger.chain import Chain
from espm.ledger.claims import Claimant
from espm.ledger.engine import connect
from espm.ledger.store import SqlLedger
from espm.ledger.upgrades import check

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa


def open_ledger(url: str, *, lease: float = 120.0, instance: str | None = None) -> SqlLedger:
    """Return the ledger at *url*, having checked that its schema is this espm's.

    It is not locked: that is for the daemon to do, with :func:`espm.ledger.lock`.

    :param lease: seconds for which a claim stands without a sign of life.
    :param instance: the name of this espm in its claims; a new one by default.
    :raises espm.errors.ConfigError: the URL is wrong or the driver missing.
    :raises espm.errors.MigrationNeeded: the schema is older, newer or not there.
    :raises espm.errors.BackendUnavailable: the database does not answer.
    """
    claimant = Claimant(instance or uuid4().hex, timedelta(seconds=lease))
    return SqlLedger(_checked(url), claimant)


@contextmanager
def open_chain(url: str) -> Iterator[Chain]:
    """Yield the audit log of the ledger at *url*, to be read while espm runs.

    :raises espm.errors.EspmError: as :func:`open_ledger` does.
    """
    engine = _checked(url)
    try:
        yield Chain(engine)
    finally:
        engine.dispose()


def _checked(url: str) -> sa.Engine:
    engine = connect(parse(url))
    try:
        check(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine
