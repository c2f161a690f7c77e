"""What a route promises beyond being there: its name, and every answer that it may give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from espm.errors import EspmError


@dataclass(frozen=True, slots=True)
class Success:
    """An answer that is no problem.

    :ivar schema: the name of the schema of its body; None for no body, or one that is no JSON.
    :ivar media_type: None for no body.
    :ivar headers: those that it always has, beyond those of every answer.
    :ivar maybe: those that it may have.
    """

    meaning: str
    schema: str | None = None
    media_type: str | None = "application/json"
    headers: tuple[str, ...] = ()
    maybe: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """What the contract says of a route.

    :ivar ident: its ``operationId``, by which generated clients call it; never changed.
    :ivar answers: by status.
    :ivar errors: what it may raise, beyond what any route may.
    :ivar body: the name of the schema of its request's body, if it takes one.
    :ivar headers: headers that it heeds, beyond those that any route does.
    """

    ident: str
    tag: str
    summary: str
    answers: Mapping[int, Success]
    errors: tuple[type[EspmError], ...] = ()
    body: str | None = None
    headers: tuple[str, ...] = ()
