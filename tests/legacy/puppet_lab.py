"""What tests of and with old Puppet's stand-in need: a quick CA, agents' CSRs, fingerprints."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from tests.legacy.puppet_cert import Said, Tree, legacy_puppet
from tests.legacy.puppet_x509 import make_key, read_crl, subject

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def quick_puppet(directory: Path, version: str) -> Tree:
    """Make an old Puppet with a CA and with keys of 1024 bits, in a few milliseconds."""
    tree = legacy_puppet(directory, version)
    tree.tell(keylength=1024)
    tree.cert("list")
    return tree


def submit(
    tree: Tree,
    name: str,
    *extensions: tuple[x509.ExtensionType, bool],
    cn: str | None = None,
    sans: Iterable[x509.GeneralName] = (),
) -> Path:
    """Let an agent's CSR wait at the CA and return its path.

    :param cn: the subject's name, when it differs from the file's.
    """
    builder: Any = x509.CertificateSigningRequestBuilder(subject(name if cn is None else cn))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    if sans := list(sans):
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
    path = tree.ssldir / "ca" / "requests" / f"{name}.pem"
    path.write_bytes(builder.sign(make_key(1024), hashes.SHA256()).public_bytes(Encoding.PEM))
    return path


def agents_csr(
    directory: Path, name: str, digest: str, key: str = "rsa:2048", *words: str
) -> bytes:
    """Return a CSR with a signature of old, as an agent up to 2.7 makes it by OpenSSL."""
    argv = ["openssl", "req", "-new", "-newkey", key, "-nodes", "-keyout", "key", "-out", "csr"]
    argv += [f"-{digest}", "-subj", f"/CN={name}", *words]
    subprocess.run(argv, cwd=directory, check=True, capture_output=True)
    return directory.joinpath("csr").read_bytes()


def fingerprint(path: Path, kind: str = "md5") -> str:
    """Return the fingerprint of a certificate or a CSR, as OpenSSL writes it."""
    pem = path.read_bytes()
    certificate = b"REQUEST" not in pem
    load: Any = x509.load_pem_x509_certificate if certificate else x509.load_pem_x509_csr
    return hashlib.new(kind, load(pem).public_bytes(Encoding.DER)).digest().hex(":").upper()


def serial(tree: Tree, name: str) -> int:
    """Return the serial of the certificate that the CA keeps for a name."""
    return x509.load_pem_x509_certificate(signed(tree, name).read_bytes()).serial_number


def revoked(tree: Tree) -> list[int]:
    """Return the serials in the CRL, in its order."""
    return [each.serial_number for each in read_crl(tree.ssldir / "ca" / "ca_crl.pem")]


def said(*lines: str) -> Said:
    """Return what a command says that exits with 0, on stdout only."""
    return Said(0, "".join(f"{line}\n" for line in lines), "")


def error(action: str, text: str) -> Said:
    """Return what a command says that fails, and exits with 0 all the same."""
    return said(f"err: Could not call {action}: {text}")


def gone(tree: Tree, model: str, name: str, directory: str) -> str:
    """Return the line that tells of a file's removal."""
    path = tree.ssldir / directory / f"{name}.pem"
    return f"notice: Removing file Puppet::SSL::{model} {name} at '{path}'"


def signed(tree: Tree, name: str) -> Path:
    """Return where the CA keeps a certificate."""
    return tree.ssldir / "ca" / "signed" / f"{name}.pem"
