"""What the X.509 library raises about what it cannot read.

It looks at most parts only when they are asked for, and each has errors of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from espm.raising import Raising

if TYPE_CHECKING:
    from espm.errors import EspmError

UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


def readable(error: type[EspmError], message: str) -> Raising:
    """Return a block that raises *error* for what is found in it that cannot be read."""
    return Raising(UNREADABLE, lambda _: error(message))
