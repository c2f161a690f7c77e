"""What espm does first: carry on whatever was left, by a failure or by its own sudden end.

An ADD and a CHANGE are undone, for nobody was told that they worked; a REVOKE and a DELETE are
finished; an ISSUE is finished where the node holds the key, else undone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from espm import certificates, endings, intents

if TYPE_CHECKING:
    from espm.ports import Ports

FINISHERS = {**endings.FINISHERS, **certificates.FINISHERS}


def recover(ports: Ports) -> int:
    """Carry on everything that is left; return how many intents remain left.

    One that fails does not stop the others.

    :raises espm.errors.BackendUnavailable: the ledger is away.
    """
    return len(intents.carry_on(ports.ledger.claim_left(), FINISHERS, ports))
