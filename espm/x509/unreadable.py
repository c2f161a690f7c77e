"""What the X.509 library raises about what it cannot read.

It looks at most parts only when they are asked for, and each has errors of its own.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from espm.errors import EspmError

UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@contextmanager
def readable(error: type[EspmError], message: str) -> Iterator[None]:
    """Raise *error* for what the block finds that cannot be read."""
    try:
        yield
    except UNREADABLE as exc:
        raise error(message) from exc
