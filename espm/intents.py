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

from espm.errors import EspmError, causes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from espm.model import Intent, IntentKind, Node
    from espm.ports import Ports

log = logging.getLogger(__name__)


Finish = Callable[["Node", "Intent", "Ports"], None]
"""Carries one kind of intent on to its end, closing it; safe to repeat."""


def carry_on(
    claimed: Iterable[tuple[Node, Intent]], finishers: Mapping[IntentKind, Finish], ports: Ports
) -> Iterator[Exception]:
    """Carry on each of *claimed*; yield the error of each that had to be left again.

    A bug that one of them meets must not keep the others claimed and waiting.
    """
    for node, intent in claimed:
        try:
            with or_leave(intent, ports):
                finishers[intent.kind](node, intent, ports)
        except EspmError as error:
            what = causes(error)
            log.warning("left for later: %s of %s: %s", intent.kind, node.certname, what)
            yield error
        except Exception as error:
            log.exception("left for later: %s of %s", intent.kind, node.certname)
            yield error
        else:
            log.info("carried on: %s of %s", intent.kind, node.certname)


def carry_on_left(node: Node, finishers: Mapping[IntentKind, Finish], ports: Ports) -> None:
    """Carry on what is left of *node*, so that a new operation finds it settled.

    :raises espm.errors.EspmError: the first that could not be; try again later.
    """
    left = ports.ledger.claim_left(node, tuple(finishers))
    for error in list(carry_on(left, finishers, ports)):
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
        except EspmError as failure:
            log.error("could not undo %s: %s", intent.kind, causes(failure))  # noqa: TRY400 - no bug
            _leave(intent, error, ports)
        except Exception:
            log.exception("could not undo %s", intent.kind)
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
        log.error("could not note that %s was left: %s", intent.kind, causes(failure))  # noqa: TRY400 - no bug
