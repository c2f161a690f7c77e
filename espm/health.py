"""Whether espm can do its work: ledger, ENC and CA, each with its reason.

Anyone may ask, so the answer is kept for some seconds and looked for by one caller at a time:
a flood of questions must not become a flood at Puppet's door.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from espm.errors import EspmError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from espm.model import Backlog
    from espm.ports import Ports


_PARTS = ("ledger", "enc", "ca")
_MOMENT = 2.0

# Which part somebody looks at, and since when.
_NOBODY = (_PARTS[0], float("inf"))


class Readiness:
    """Asks the ports whether they work, at most once in *max_age* seconds.

    :param confirm: raises when the ledger is not ours alone any more.
    """

    def __init__(
        self,
        ports: Ports,
        *,
        confirm: Callable[[], None] = lambda: None,
        max_age: float = 5.0,
    ) -> None:
        self._ports = ports
        self._confirm = confirm
        self._max_age = max_age
        self._lock = threading.Lock()
        self._reasons: dict[str, str | None] = dict.fromkeys(_PARTS, "not looked at yet")
        self._looking = _NOBODY
        self._asked = float("-inf")
        self._version: str | None = None
        self._backlog: Backlog | None = None

    def reasons(self) -> Mapping[str, str | None]:
        """Return ``ledger``, ``enc`` and ``ca``, each None when it works, else why not.

        Only one caller looks; the others are told at once what is known.  Before anything is
        known, at the start, they wait a moment.
        """
        nothing_known = self._asked == float("-inf")
        if not self._lock.acquire(timeout=_MOMENT if nothing_known else 0):
            return self._meanwhile()
        try:
            if time.monotonic() - self._asked > self._max_age:
                self._look()
        finally:
            self._lock.release()
        return dict(self._reasons)

    def glance(self) -> Mapping[str, str | None]:
        """Return the same without waiting for more than a moment, whoever has to look.

        A CA that hangs would otherwise keep the one who looks for as long as a call may take.
        """
        if time.monotonic() - self._asked > self._max_age:
            look = threading.Thread(target=self.reasons, name="readiness", daemon=True)
            look.start()
            look.join(_MOMENT)
        return self._meanwhile()

    @property
    def backlog(self) -> Backlog | None:
        """What was open in the ledger at the last look; None while the ledger is away."""
        return self._backlog if self._reasons["ledger"] is None else None

    def puppet_version(self) -> str | None:
        """Return the version of Puppet's CA server when last seen, None if never."""
        self.reasons()
        return self._version

    def _look(self) -> None:
        looks = (self._look_at_ledger, self._ports.classifier.ping, self._look_at_ca)
        for name, look in zip(_PARTS, looks, strict=True):
            self._looking = (name, time.monotonic())
            self._reasons[name] = _reason(look)
        self._asked = time.monotonic()
        self._looking = _NOBODY

    def _meanwhile(self) -> Mapping[str, str | None]:
        """Return what is known while somebody looks; a part that hangs does not work."""
        name, since = self._looking
        waited = time.monotonic() - since
        if waited <= self._max_age:
            return dict(self._reasons)
        return {**self._reasons, name: f"no answer for {waited:.0f} s"}

    def _look_at_ledger(self) -> None:
        self._confirm()
        self._ports.ledger.ping()
        self._backlog = self._ports.ledger.backlog()

    def _look_at_ca(self) -> None:
        self._version = self._ports.ca.version()


def _reason(ping: Callable[[], object]) -> str | None:
    try:
        ping()
    except EspmError as error:
        return str(error)
    return None
