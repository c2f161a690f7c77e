"""The durable intents: what was begun is carried on, by whoever comes next.

An intent is open from before the first outside effect until after the last.  When a step fails,
it is undone at once; when that fails too, the intent is *left*, and the next request for that
node or the next start carries it on::

    begin ──> work ──> closed
                │ error
                └──> undo ──> closed
                       │ error
                       └──> left ──> (a repeat, or the next start) ──> closed
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

from espm.errors import EspmError, NodeBusy, VersionMismatch, causes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from espm.model import Intent, IntentKind, Json, Node
    from espm.ports import Ports

log = logging.getLogger(__name__)


Finish = Callable[["Node", "Intent", "Ports"], None]
"""Carries one kind of intent on to its end, closing it; safe to repeat."""


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
    try:
        return ports.ledger.begin(node, kind, payload, request_id=request_id)
    except VersionMismatch as error:
        if exact:
            raise
        msg = f"{node.certname} was changed by another request just now; try again"
        raise NodeBusy(msg) from error


def carry_on(
    claimed: Iterable[tuple[Node, Intent]], finishers: Mapping[IntentKind, Finish], ports: Ports
) -> list[Exception]:
    """Carry on each of *claimed*; return the error of each that had to be left again.

    A bug that one of them meets must not keep the others claimed and waiting.
    """
    errors: list[Exception] = []
    for node, intent in claimed:
        try:
            with or_leave(intent, ports):
                finishers[intent.kind](node, intent, ports)
        except Exception as error:  # noqa: BLE001 - a bug stops this one only, and is logged
            _say("left for later", intent, error)
            errors.append(error)
        else:
            log.info("carried on: %s of %s", intent.kind, node.certname)
    return errors


def carry_on_left(node: Node, finishers: Mapping[IntentKind, Finish], ports: Ports) -> None:
    """Carry on what is left of *node*, so that a new operation finds it settled.

    :raises espm.errors.EspmError: the first that could not be; try again later.
    """
    left = ports.ledger.claim_left(node, tuple(finishers))
    for error in carry_on(left, finishers, ports):
        raise error


@contextmanager
def or_else(undo: Callable[[], None], intent: Intent, ports: Ports) -> Iterator[None]:
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


def _leave(intent: Intent, error: BaseException, ports: Ports) -> None:
    reason = str(error) if isinstance(error, EspmError) else "internal error; see the log of espm"
    try:
        ports.ledger.leave(intent, reason)
    except EspmError as failure:
        # The ledger notes it with whatever it writes next, or the lease of the claim runs out.
        _say("could not note that it was left", intent, failure)


def _say(what: str, intent: Intent, error: Exception) -> None:
    """Log a failure on one line, and a mistake of ours with its traceback."""
    bug = None if isinstance(error, EspmError) else error
    log.error("%s: %s: %s", what, intent.kind, causes(error), exc_info=bug)
