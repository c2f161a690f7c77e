"""How long a caller wants to wait for the end of what it asks for: ``Prefer`` (RFC 7240)."""

from __future__ import annotations

import re

from espm.carrying import PATIENCE

#: Nobody waits longer than this; a request that waits holds a thread.
LONGEST = 60.0

_WAIT = re.compile(r'wait\s*=\s*"?([0-9]{1,9})"?', re.ASCII)


def patience(header: str) -> float:
    """Return the seconds to wait that a ``Prefer`` header asks for, 0 for none.

    ``wait=N`` is N seconds, ``respond-async`` alone is none.  What can't be understood is no
    preference (RFC 7240, 2).
    """
    words = [word.split(";")[0].strip().lower() for word in header.split(",")]
    for word in words:
        if found := _WAIT.fullmatch(word):
            return min(float(found[1]), LONGEST)
    return 0.0 if "respond-async" in words else PATIENCE
