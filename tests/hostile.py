"""Input that somebody made on purpose: valid bytes with a few of them wrong.

A bit that is wrong in a signed structure is found at once by its signature, so nothing behind
that check would ever be tried; :func:`signed` signs what was spoilt.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


@st.composite
def spoilt(draw: st.DrawFn, originals: Sequence[bytes]) -> bytes:
    """Return one of *originals* with up to four places changed, cut out or put in."""
    content = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 3))
        content[at : at + length] = draw(st.binary(max_size=3))
    return bytes(content)


def pem(label: str, der: bytes) -> bytes:
    """Return DER as PEM."""
    body = base64.encodebytes(der).decode().replace("\n", "")
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()


def der(tag: int, content: bytes) -> bytes:
    """Return a DER value."""
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def signed(content: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return *content* with a signature of *key* that fits, as X.509 puts the two together."""
    signature = key.sign(content, ec.ECDSA(hashes.SHA256()))
    return der(0x30, content + ECDSA_WITH_SHA256 + der(0x03, b"\0" + signature))
