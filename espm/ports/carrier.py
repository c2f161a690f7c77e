"""Who carries on what was begun, when whoever began it can't or need not wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from espm.model import Intent, Node
    from espm.ports import Ports


class Carrier(Protocol):
    """Takes over claimed intents and carries them on until they are closed."""

    def carry(self, node: Node, intent: Intent, ports: Ports) -> None:
        """Take *intent* of *node* over; its claim is the carrier's from now on.

        Never raises what happens to it: that is on the intent, which stays open and is tried
        again, without end.
        """

    def wait(self, intent: Intent, seconds: float, ports: Ports) -> bool:
        """Wait until *intent* is closed, for *seconds* at most; return whether it is.

        :raises espm.errors.BackendUnavailable: the ledger is away.
        """
