"""``espm doctor``: looks through all that espm ever did for what is not so any more.

Other tools work on the same CA, and some of them lose revocations (reference facts on the CA,
0.1).  The daemon looks again for minutes; the doctor looks at everything, whenever it is asked::

    ledger ──> each certificate that must not be accepted ──> in the CRL? ──> fine
                                                                  │ no
                                     lost <── still not? <── the CRL once more
                                      │ --heal: ordered revoked once more
                                      └──────> the CRL once more ──> healed, or lost still

Without ``--heal`` nothing is changed, and the daemon may run.  With it, espm's ledger must be free:
two that revoke side by side lose what they revoke.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from espm import compose, config, ledger
from espm.check import show, user
from espm.check.finding import Context
from espm.doctor import examination
from espm.exits import Exit

if TYPE_CHECKING:
    from pathlib import Path

    from espm.doctor.report import Report

__all__ = ["revocations"]


def revocations(path: Path, *, heal: bool = False, as_json: bool = False) -> int:
    """Compare the ledger with the CRL and with the ENC, and print what is wrong.

    Started by root, it goes on as espm's user (:func:`espm.check.user.become_espm`).

    :param heal: make lost revocations good, and finish what was left of nodes that are gone.
    :returns: 1 when something is lost or wrong, after healing.
    :raises espm.errors.ConfigError: the configuration is wrong.
    :raises espm.errors.LedgerLocked: another espm works on the ledger, and *heal* needs it.
    :raises espm.errors.BackendError: the CA can't be asked, or the ledger is away.
    """
    # Where the server's own key comes from makes no difference here.
    name = user.become_espm(config.load(path, keys=False))
    if name and (unreadable := user.python(name)):
        show([unreadable], as_json=as_json)
        return Exit.FAILED
    report = _examined(Context(config.load(path, keys=False)), heal=heal)
    sys.stdout.write((report.as_json() if as_json else report.as_screen()) + "\n")
    return Exit.FAILED if report.failed else Exit.OK


def _examined(context: Context, *, heal: bool) -> Report:
    url = context.config.ledger_url
    with ExitStack() as stack:
        if heal:
            stack.enter_context(ledger.lock(url))
        store = stack.enter_context(ledger.open_ledger(url))
        ports = compose.build_ports(context.config, store)
        return examination.examine(context, ports, heal=heal)
