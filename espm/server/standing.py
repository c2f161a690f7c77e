"""What a connection counts as: a platform's, a stranger's, or that of one who may be a platform."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from espm.server.connections import Server
    from espm.server.lobby import Arrival

# A handshake is two or three, a request one or two.
_FREE_STEPS = 8


class Standing:
    """The standing of a connection.

    :ivar since: the monotonic time at which it was let in.
    :ivar answered: whether there was a request on it.
    :ivar steps: how often a thread has looked at it.
    """

    server: Server

    def __init__(self, server: Server, arrival: Arrival) -> None:
        self.server = server
        self.arrival = arrival
        self.since = time.monotonic()
        self.steps = 0
        self.answered = False
        self._authenticated = False

    @property
    def peer(self) -> str:
        """Who counts as one with this client."""
        return self.arrival.peer

    @property
    def preferred(self) -> bool:
        """Whether it is a platform's, or comes from where one was seen."""
        return self._authenticated or self.server.peers.knows(self.peer)

    @property
    def tiring(self) -> bool:
        """Whether it is a stranger's that has had more looks than a platform would need."""
        return self.steps > _FREE_STEPS and not self._authenticated

    @property
    def spent(self) -> bool:
        """Whether it has had its chance to authenticate."""
        return self.answered or self.tiring

    @property
    def authenticated(self) -> bool:
        """Whether a request on this connection carried a known key.

        The application sets it.  It only decides which limits hold (:mod:`~espm.server.peers`);
        every request must be authenticated by itself.  It can't be taken back.
        """
        return self._authenticated

    @authenticated.setter
    def authenticated(self, value: bool) -> None:
        if value and not self._authenticated:
            self._authenticated = True
            self.server.peers.recognise(self.arrival)
            self.server.welcome_next(self.peer)
