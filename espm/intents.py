"""The durable intents: what was begun is carried on, by whoever comes next.

An intent is open from before the first outside effect until after the last.  When a step fails,
it is undone; when that fails too, the intent is *left*, and tried again, at longer and longer
intervals and without end (:mod:`espm.revoker`)::

    begin ──> work ──> closed
                │ error
                └──> undo ──> closed
                       │ error
                       └──> left ──> due, or a repeat ──> closed
                              ^              │ error
                              └──────────────┘
"""

from __future__ import annotations

import logging
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

from espm.errors import EspmError, NodeBusy, VersionMismatch, causes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from espm.model import Certificate, Intent, IntentKind, Json, Node
    from espm.ports import Ports

log = logging.getLogger(__name__)

#: Seconds before the second attempt, and the most that any has to wait.
FIRST, LONGEST = 1.0, 60.0

_chance = random.SystemRandom()


def begin(
    node: Node,
    kind: IntentKind,
    ports: Ports,
    *,
    request_id: str,
    payload: Mapping[str, Json] | None = None,
    exact: bool = False,
) -> Intent:
    """Open an intent on a node.

    :param exact: whether the caller named the version, and wants to hear if it is another now.
    :raises espm.errors.NodeBusy: something is in the way, or came in between.
    :raises espm.errors.VersionMismatch: the version that was named is not the node's any more.
    """
    with _of_version(node, exact=exact):
        return ports.ledger.begin(node, kind, payload, request_id=request_id)


def begin_deletion(
    node: Node, ports: Ports, *, request_id: str, exact: bool
) -> tuple[Intent, Sequence[Certificate]]:
    """As :func:`begin` with a DELETE; return also the certificates that are to be settled."""
    with _of_version(node, exact=exact):
        return ports.ledger.begin_deletion(node, request_id=request_id)


@contextmanager
def _of_version(node: Node, *, exact: bool) -> Iterator[None]:
    """Say that the node is busy where it has another version now that the caller has not named."""
    try:
        yield
    except VersionMismatch as error:
        if exact:
            raise
        msg = f"{node.certname} was changed by another request just now; try again"
        raise NodeBusy(msg) from error


def backoff(attempts: int) -> float:
    """Return the seconds until an intent that was left *attempts* times before is due again.

    Doubles with each attempt up to :data:`LONGEST`.  Up to half of it is left to chance, so that
    what failed together does not come back together.
    """
    longest = min(LONGEST, FIRST * 2.0 ** min(attempts, 10))
    return longest * _chance.uniform(0.5, 1.0)


@contextmanager
def or_else(undo: Callable[[], object], intent: Intent, ports: Ports) -> Iterator[None]:
    """Run *undo* when the block raises, and leave *intent* when the undoing fails.

    The error of the block is the one that is raised.
    """
    try:
        yield
    except BaseException as error:
        try:
            undo()
        except Exception as failure:  # noqa: BLE001 - a bug is logged, and the intent left
            _say("could not undo", intent, failure)
            _leave(intent, error, ports)
        raise


@contextmanager
def or_leave(intent: Intent, ports: Ports) -> Iterator[None]:
    """Leave *intent* for later when the block raises."""
    try:
        yield
    except BaseException as error:
        _leave(intent, error, ports)
        raise


@contextmanager
def leaving(intent: Intent, errors: list[Exception], ports: Ports) -> Iterator[None]:
    """Leave *intent* for later when the block raises, note the error, and go on.

    A bug that one intent meets must not keep others waiting.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - logged, and noted
        _say("left for later", intent, error)
        _leave(intent, error, ports)
        errors.append(error)


def _leave(intent: Intent, error: BaseException, ports: Ports) -> None:
    reason = str(error) if isinstance(error, EspmError) else "internal error; see the log of espm"
    try:
        ports.ledger.leave(intent, reason, delay=backoff(intent.attempts))
    except EspmError as failure:
        # The ledger notes it with whatever it writes next, or the lease of the claim runs out.
        _say("could not note that it was left", intent, failure)


def _say(what: str, intent: Intent, error: Exception) -> None:
    """Log a failure on one line, and a mistake of ours with its traceback."""
    bug = None if isinstance(error, EspmError) else error
    log.error("%s: %s: %s", what, intent.kind, causes(error), exc_info=bug)
