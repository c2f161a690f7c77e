"""All or nothing: what a failed setup made is taken back."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)


@contextmanager
def undoing() -> Iterator[Callable[..., None]]:
    """Yield ``undo(step, *args, **options)``; if the block raises, run the noted steps, last first.

    A step that fails is logged and the others still run: each takes back one thing only.
    """
    steps: list[Callable[[], object]] = []
    try:
        yield lambda step, *args, **options: steps.append(partial(step, *args, **options))
    except BaseException:
        for step in reversed(steps):
            _attempt(step)
        raise


def _attempt(step: Callable[[], object]) -> None:
    try:
        step()
    except Exception as error:  # noqa: BLE001 - whatever it is, the other steps are taken
        log.error("espm_setup: could not undo everything: %s", error)  # noqa: TRY400 - for people
