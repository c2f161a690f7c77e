"""espm with a fault put into it: once the file ``$HANG`` is there, a part of its server hangs.

What the file says is which: ``accept``, the thread that looks for connections, or ``threads``,
each that works on a request.  Run as ``python -m tests.api.hanging -c FILE``.
"""

from __future__ import annotations

import os
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

from espm import daemon
from espm.__main__ import main
from espm.server import connections
from espm.server.exchange import Connection
from espm.server.manager import Manager

HANG = Path(os.environ["HANG"])


def _hanging(part: str, method: Any) -> Any:
    def hangs(self: Any, *arguments: Any) -> Any:
        if HANG.exists() and HANG.read_text() == part:
            threading.Event().wait()
        return method(self, *arguments)

    return hangs


if __name__ == "__main__":
    # So that a test need not wait for what takes a minute and a half otherwise.
    connections.LOOKS_WITHIN = 1.0
    limits = partial(connections.ServerLimits, response_seconds=1.0)
    vars(daemon)["ServerLimits"] = limits
    Manager._serve = _hanging("accept", Manager._serve)  # type: ignore[method-assign]
    Connection._answer = _hanging("threads", Connection._answer)  # type: ignore[method-assign]
    sys.exit(main())
