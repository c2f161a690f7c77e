"""Telling systemd that espm works, for as long as it does: the other half of ``WatchdogSec=``.

A thread that only waits and beats would keep an espm alive that hangs.  So each beat comes after a
look at what answers clients.  It looks for progress and sends no request of its own: that would
stand in line behind a flood, and systemd would end an espm that works.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import re
import threading
import time
from typing import TYPE_CHECKING, TypeAlias

from espm.notify import notify

if TYPE_CHECKING:
    from collections.abc import Callable

    Look: TypeAlias = Callable[[], str | None]

log = logging.getLogger(__name__)


def start(*looks: Look) -> bool:
    """Beat from now on, while none of *looks* finds that espm hangs.

    :param looks: each returns None while its part works, else in what it hangs.
    :returns: whether the service manager wants beats (``WatchdogSec=``); else nothing is done.
    """
    seconds = _interval()
    if seconds is None:
        return False
    # systemd ends a service that hangs with SIGABRT; this then says where each thread was.
    faulthandler.enable()
    threading.Thread(target=_beat, args=(looks, seconds), name="watchdog", daemon=True).start()
    return True


def _interval() -> float | None:
    """Return half the time after which the manager loses patience, as sd_watchdog_enabled(3) says.

    None if it does not want beats, or wants them of another process.
    """
    wanted = os.environ.get("WATCHDOG_USEC", "")
    ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    if not ours or not re.fullmatch("[0-9]*[1-9][0-9]*", wanted):
        return None
    return int(wanted) / 2_000_000


def _beat(looks: tuple[Look, ...], seconds: float) -> None:
    hangs = False
    while True:
        reasons = [reason for look in looks if (reason := look())]
        if not reasons:
            notify("WATCHDOG=1")
        elif not hangs:
            log.critical("espm hangs: %s", "; ".join(reasons))
        hangs = bool(reasons)
        # When it goes on after all, that should be heard before the manager loses patience.
        time.sleep(min(seconds, 1.0) if hangs else seconds)
