"""Private keys, made in memory and never written to a disk by espm's daemon."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

Key: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


#: Bits of the kinds of RSA keys.
_RSA = {"rsa": 3072, "rsa2048": 2048}


def new_key(key_type: str = "ec") -> Key:
    """Return a new private key.

    :param key_type: ``ec`` for P-256, ``rsa`` for 3072 bits: both are of the strength that NIST
        SP 800-57 part 1, table 2, gives 128 bits; ``rsa2048``, of 112 bits, is made four times as
        fast.
    """
    if bits := _RSA.get(key_type):
        return rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: Key) -> bytes:
    """Return *key* as unencrypted PKCS#8 PEM, which Puppet's agents read for EC and RSA alike."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def key_sha256(key: PublicKeyTypes) -> str:
    """Return the SHA-256 of a public key's DER SubjectPublicKeyInfo, which names the key."""
    return sha256(spki(key)).hexdigest()


def spki(key: PublicKeyTypes) -> bytes:
    """Return a public key's DER SubjectPublicKeyInfo, in the one form that OpenSSL writes."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
