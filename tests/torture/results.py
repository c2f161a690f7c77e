"""What the torments measured, kept in one file for the table of docs/reliability.md.

A run of ``make torture`` names the file in ESPM_TORTURE_RESULTS; every test adds a line of JSON to
it.  Without that nothing is kept, so that a bounded run leaves no trace.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

#: Whether this run does everything, and not only a part that fits into minutes.
FULL = bool(os.environ.get("ESPM_TORTURE"))


@dataclass(frozen=True)
class Result:
    """One row of the table.

    :ivar fault: what was done to espm or around it.
    :ivar against: what stood for Puppet: ``fake CA`` or ``Puppet Server``.
    :ivar tried: how often.
    :ivar lost: how many of these left something that was not as it must be.
    :ivar unit: what was counted, in words.
    """

    fault: str
    against: str
    tried: int
    lost: int
    unit: str

    def keep(self) -> None:
        """Add it to the file of this run, if there is one."""
        if name := os.environ.get("ESPM_TORTURE_RESULTS"):
            with Path(name).open("a") as file:
                file.write(json.dumps(asdict(self)) + "\n")


def share(few: int, all_of_them: int) -> int:
    """Return how often something is done: *few* times, or as often as a full run does it."""
    return all_of_them if FULL else few
