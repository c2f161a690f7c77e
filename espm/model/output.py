"""How a program ended."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Output:
    """How a program ended.

    :ivar status: its exit status; negative, the number of the signal that ended it.
    :ivar stdout: what it wrote, as far as it was kept; likewise *stderr*.
    """

    status: int
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)
