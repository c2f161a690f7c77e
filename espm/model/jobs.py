"""Intents as others see them: one as a job, all that are open as a backlog.

A job::

    running ──> done | undone | superseded        an espm works on it now, or is just about to
       │ ^
       v │
    waiting                                       it failed, and is tried again when it is due
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from espm.model.certname import Certname
    from espm.model.life import Certificate, Intent, NodeState


class JobState(StrEnum):
    """Where a job is; the picture is above."""

    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    UNDONE = "undone"
    SUPERSEDED = "superseded"

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is left to do."""
        return self not in {JobState.RUNNING, JobState.WAITING}


@dataclass(frozen=True, slots=True)
class Job:
    """An intent, and what is left of it.

    :ivar node_state: the state of the node that it is about.
    :ivar certificates: those of the node that are ordered, valid or being revoked, while the job
        is open.
    :ivar due: when a waiting one is tried again.
    :ivar closed: when it was over.
    """

    intent: Intent
    certname: Certname
    state: JobState
    node_state: NodeState
    certificates: tuple[Certificate, ...] = ()
    due: datetime | None = None
    closed: datetime | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is open in the whole ledger.

    :ivar open: how many intents of each kind are open, by kind.
    :ivar waiting: how many of them have failed and wait for another try.
    :ivar oldest: when the oldest of those that wait was begun.
    :ivar last_error: why that one was left the last time.
    """

    open: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0
    oldest: datetime | None = None
    last_error: str | None = None
