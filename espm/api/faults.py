"""What can be wrong with a request as HTTP, before anybody looks at what it wants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from espm.errors import EspmError, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Iterable


class HttpFault(EspmError):
    """The request is wrong as HTTP, before anybody looks at what it wants."""


class PathUnknown(HttpFault):
    """There is nothing at this path."""


class MethodRefused(HttpFault):
    """The path does not know this method.

    :param allowed: the methods it knows.
    """

    def __init__(self, method: str, allowed: Iterable[str]) -> None:
        self.allow = ", ".join(sorted(allowed))
        super().__init__(f"{method} is not for this path; it takes {self.allow}")


class MediaTypeRefused(HttpFault):
    """The body is not ``application/json``."""


class LengthMissing(HttpFault):
    """A body came without Content-Length."""


class BodyTooLarge(HttpFault):
    """The body is larger than espm takes."""


class NotJson(HttpFault):
    """The body is not JSON."""


class AuthenticationNeeded(Unauthenticated):
    """No known preshared key came with the request."""

    def __init__(self) -> None:
        super().__init__(
            "send the preshared key that espm_setup printed, as 'Authorization: Bearer KEY'"
        )


class TooManyFailures(Unauthenticated):
    """No known key again, after too many of them from the same address.

    :param retry_after: the seconds after which it is worth another try.
    """

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__("too many wrong keys from this address; a right one is always let in")
