"""Opening a ledger: the one place where URL, schema and store come together."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from espm.ledger.address import parse
from espm.ledger.claims import Claimant
from espm.ledger.engine import connect
from espm.ledger.store import SqlLedger
from espm.ledger.upgrades import check


def open_ledger(url: str, *, lease: float = 120.0, instance: str | None = None) -> SqlLedger:
    """Return the ledger at *url*, having checked that its schema is this espm's.

    It is not locked: that is for the daemon to do, with :func:`espm.ledger.lock`.

    :param lease: seconds for which a claim stands without a sign of life.
    :param instance: the name of this espm in its claims; a new one by default.
    :raises espm.errors.ConfigError: the URL is wrong or the driver missing.
    :raises espm.errors.MigrationNeeded: the schema is older, newer or not there.
    :raises espm.errors.BackendUnavailable: the database does not answer.
    """
    engine = connect(parse(url))
    try:
        check(engine)
    except BaseException:
        engine.dispose()
        raise
    return SqlLedger(engine, Claimant(instance or uuid4().hex, timedelta(seconds=lease)))
