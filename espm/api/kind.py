"""What a kind of problem is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from http import HTTPStatus


@dataclass(frozen=True, slots=True)
class Problem:
    """A kind of problem, as its page tells it.

    :ivar slug: the end of its ``type``.
    :ivar meaning: what happened, one or two sentences.
    :ivar remedy: what to do about it.
    """

    slug: str
    status: HTTPStatus
    title: str
    meaning: str
    remedy: str

    @property
    def type(self) -> str:
        """The path of its page."""
        return f"/problems/{self.slug}"
