"""What a handler is given and what it returns; no CherryPy in either."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from espm.api.faults import AuthenticationNeeded
from espm.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from espm.model import Json, Platform

# RFC 9110, 8.8.3 and 5.6.1: lists may have empty elements.
_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"\*|[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*")

# Made once: what json.dumps makes anew for each call takes longer than a short value.
_write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was routed; the caller is known where the route asks for it.

    :ivar path: the parts of the path that the route names.
    :ivar headers: by lower-case name.
    :ivar body: reads and parses the JSON body when it is called.
    :ivar patience: seconds that the answer may wait for the end of what is asked for.
    """

    request_id: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Callable[[], Json]
    caller: Platform | None = None
    patience: float = 0.0

    @property
    def platform(self) -> Platform:
        """The platform that calls.

        :raises espm.api.faults.AuthenticationNeeded: the route lets anybody in.
        """
        if self.caller is None:
            raise AuthenticationNeeded
        return self.caller

    @property
    def if_match(self) -> tuple[str, ...]:
        """The entity tags of ``If-Match``; none when it is absent.

        :raises espm.errors.InvalidRequest: the header is there and says something else.  What
            protects nothing, as that of a script whose variable is empty, is not let pass.
        """
        header = self.headers.get("if-match")
        if header is None:
            return ()
        if not _TAGS.fullmatch(header):
            msg = (
                "If-Match is neither a list of entity tags, each in double quotes, nor '*'; leave "
                "the header out to match anything"
            )
            raise InvalidRequest(msg)
        return entity_tags(header)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller gets: JSON unless *content_type* says otherwise.

    :ivar body: a JSON value, or bytes that go out as they are; None for no body.
    :ivar secret: whether a private key is in it: for the caller, and for no disk or cache.
    """

    status: int = 200
    body: Json = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    secret: bool = False


def encoded(body: Json) -> bytes:
    """Return a JSON value as it goes out."""
    return _write(body).encode() + b"\n"


def entity_tags(header: str) -> tuple[str, ...]:
    """Return the entity tags of an ``If-Match`` or ``If-None-Match`` header, or ``*``."""
    return ("*",) if header == "*" else tuple(re.findall(_TAG, header))


def entity_tag(content: bytes) -> str:
    """Return an entity tag that changes exactly when *content* does."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'
