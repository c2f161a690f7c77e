"""What has to be done after a revocation, in the background, once for all that came meanwhile."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from espm.errors import BackendError, causes

if TYPE_CHECKING:
    from espm.ports.host import Host

log = logging.getLogger(__name__)


class After:
    """Runs the host's command after a revocation; one at a time, and nobody waits for it.

    A failure is logged, and the command runs again after the next revocation.
    """

    def __init__(self, host: Host, timeout: float) -> None:
        self._host = host
        self._timeout = timeout
        self._lock = threading.Lock()
        self._wanted = False
        self._running = False

    def want(self) -> None:
        """Have the command run, after what is revoked by now."""
        with self._lock:
            self._wanted = True
            if self._running:
                return
            self._running = True
        threading.Thread(target=self._run, name="espm after", daemon=True).start()

    def _run(self) -> None:
        while self._next():
            try:
                output = self._host.call("after", timeout=self._timeout)
            except BackendError as error:
                log.warning("after_revoke failed: %s", causes(error))
                continue
            if output.status != 0:
                said = (output.stdout + output.stderr)[-1000:].decode(errors="replace").strip()
                log.warning("after_revoke failed with status %d: %s", output.status, said)

    def _next(self) -> bool:
        with self._lock:
            self._running, self._wanted = self._wanted, False
            return self._running
