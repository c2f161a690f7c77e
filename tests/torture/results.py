"""What the torments measured, kept in one file for the table of docs/reliability.md.

A run of ``make torture`` names the file in ESPM_TORTURE_RESULTS; every test adds a line of JSON to
it.  Without that nothing is kept, so that a bounded run leaves no trace.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

#: Whether this run does everything, and not only a part that fits into minutes.
FULL = bool(os.environ.get("ESPM_TORTURE"))


class Kept:
    """What can be added to the file of this run."""

    def keep(self) -> None:
        """Add it, if there is such a file."""
        if name := os.environ.get("ESPM_TORTURE_RESULTS"):
            with Path(name).open("a") as file:
                file.write(json.dumps(vars(self)) + "\n")


@dataclass
class Result(Kept):
    """A part of one row of the table.

    :ivar fault: what was done to espm or around it.
    :ivar against: what stood for Puppet: ``fake CA`` or ``Puppet Server``.
    :ivar tried: how often.
    :ivar lost: how many of these left something that was not as it must be.
    """

    fault: str
    against: str
    tried: int
    lost: int


@dataclass
class Retirement(Kept):
    """One row of the table about retiring many nodes at once.

    :ivar way: by which program or call.
    :ivar answered: how many calls were answered with success.
    :ivar lost: how many certificates of these were not in the CRL afterwards.
    """

    way: str
    nodes: int
    parallel: int
    answered: int
    lost: int


def share(few: T, all_of_them: T) -> T:
    """Return how much of something is done: *few*, or as many as in a full run."""
    return all_of_them if FULL else few


def say(line: str) -> None:
    """Show in a full run, which takes long, that something goes on."""
    if FULL:
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
