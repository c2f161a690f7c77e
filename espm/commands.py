"""What an administrator does beside the daemon: back up the ledger, rebuild the documents."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from espm import config as configuration
from espm import ledger
from espm.compose import classifier
from espm.errors import BackendRefused
from espm.exits import Exit
from espm.ports import Rebuildable

if TYPE_CHECKING:
    from pathlib import Path


def backup(config_path: Path, destination: Path) -> int:
    """Copy the ledger to *destination*, a new file; safe while the daemon runs.

    :raises espm.errors.EspmError: it can't; nothing is left at *destination*.
    """
    config = configuration.load(config_path, keys=False)
    ledger.backup(config.ledger_url, destination)
    sys.stdout.write(f"the ledger is copied to {destination}\n")
    return Exit.OK


def rebuild(config_path: Path) -> int:
    """Write the ENC's documents anew from the ledger, and name those that no node explains.

    Needs the ledger to itself: the daemon must be stopped.

    :returns: 1 when there are documents without a node; they are left where they are.
    :raises espm.errors.LedgerLocked: the daemon runs.
    """
    config = configuration.load(config_path, keys=False)
    enc = classifier(config)
    if not isinstance(enc, Rebuildable):
        msg = f"the classifier '{config.classifier_backend}' keeps no documents"
        raise BackendRefused(msg)
    with ledger.lock(config.ledger_url), ledger.open_ledger(config.ledger_url) as store:
        done = enc.rebuild(store.nodes())
    sys.stdout.write(f"documents written: {len(done.written)}\n")
    for name in done.orphans:
        sys.stdout.write(f"no node explains the document of {name}; remove it if it is not yours\n")
    return Exit.FAILED if done.orphans else Exit.OK
