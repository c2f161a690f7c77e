"""The ledger: what espm did and set out to do, in SQLite or PostgreSQL.

``espm_setup`` creates and upgrades it (:func:`upgrade`), the daemon locks and opens it
(:func:`lock`, :func:`open_ledger`)::

    with lock(url), open_ledger(url) as ledger:
        ledger.orphan()
        for node, intent in ledger.claim_left(): ...

This package is the only place that knows there is a database.
"""

from __future__ import annotations

from espm.ledger.chain import Head
from espm.ledger.locks import LedgerLock, lock
from espm.ledger.opening import open_chain, open_ledger
from espm.ledger.store import SqlLedger
from espm.ledger.upgrades import backup, current, upgrade

__all__ = [
    "Head",
    "LedgerLock",
    "SqlLedger",
    "backup",
    "current",
    "lock",
    "open_chain",
    "open_ledger",
    "upgrade",
]
