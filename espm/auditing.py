"""What an administrator does with the audit log: verify it, and carry it elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from espm import config as configuration
from espm import progress
from espm.exits import Exit
from espm.ledger import chain, open_chain

if TYPE_CHECKING:
    from pathlib import Path


def verify(config_path: Path, logged: chain.Head | None = None) -> int:
    """Follow the chain from its first row to its head; safe while the daemon runs.

    :param logged: a head from espm's log, which has to be in the chain.
    :returns: 1 when it is not whole; what is said names the first row that does not fit.
    :raises espm.errors.EspmError: the ledger can't be read.
    """
    config = configuration.load(config_path, keys=False)
    with open_chain(config.ledger_url) as log:
        end, head = log.ends()
        rows = progress.shown(log.rows(until=end), end, "row")
        fault = chain.fault(rows, head, logged)
    if fault:
        sys.stdout.write(f"the audit log is not whole: {fault}\n")
        return Exit.FAILED
    sys.stdout.write(f"the audit log is whole: rows {end}, head {head}\n")
    return Exit.OK


def export(config_path: Path, after: int = 0) -> int:
    """Write the rows behind number *after* to standard output; safe while the daemon runs.

    :returns: 1 when the reader went away before it had all of them.
    :raises espm.errors.EspmError: the ledger can't be read.
    :raises OSError: standard output can't be written.
    """
    config = configuration.load(config_path, keys=False)
    try:
        # A stream of our own: what it could not write is not tried again when Python ends.
        with (
            open_chain(config.ledger_url) as log,
            open(sys.stdout.fileno(), "wb", closefd=False) as out,
        ):
            out.writelines(line + b"\n" for line in log.export(after))
    except BrokenPipeError:
        return Exit.FAILED
    return Exit.OK
