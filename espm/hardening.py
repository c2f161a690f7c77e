"""What the daemon takes away from itself before it reads the first secret."""

from __future__ import annotations

import logging
import os
import resource
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)


def harden() -> None:
    """Keep what this process writes, and what may be left of it, from others.  Idempotent."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A core dump that is piped to a program has no limit, core(5) says; so let it have no memory.
    with suppress(OSError):
        Path("/proc/self/coredump_filter").write_text("0")
    # Each connection is a file; the soft limit is often as low as 1024.
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # cheroot takes file descriptor 3 for its socket when it sees this, whoever set it.
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)


def warn_of_root() -> None:
    """Log that this process may do whatever root may, if it does; espm needs nothing of that."""
    if os.geteuid() == 0:
        log.warning("running as root, of which espm needs nothing: let its unit give it a user")
