"""What is signed with SHA-1 or MD5, as Puppet up to 2.7 and its agents do; openssl makes it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography import x509 as lib
from cryptography.hazmat.primitives.serialization import Encoding

from espm import x509
from espm.errors import InvalidCsr
from tests.legacy.puppet_lab import agents_csr

if TYPE_CHECKING:
    from pathlib import Path

_CONFIG = """
[ca]
default_ca = old
[old]
database = {directory}/index
serial = {directory}/serial
crlnumber = {directory}/crlnumber
new_certs_dir = {directory}
certificate = {directory}/ca.pem
private_key = {directory}/ca.key
default_md = {digest}
default_days = 9
default_crl_days = 9
policy = any
[any]
commonName = supplied
"""


def make_ca(directory: Path, digest: str) -> None:
    """Make a CA that signs by *digest*, web1's and web2's certificates, and a CRL with web1's."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)

    directory.mkdir()
    key = ("-newkey", "rsa:2048", "-nodes")
    openssl(
        "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", f"-{digest}",
        "-subj", "/CN=Puppet CA: old",
    )  # fmt: skip
    for name, text in (("index", ""), ("serial", "02"), ("crlnumber", "01")):
        directory.joinpath(name).write_text(text)
    config = ("-batch", "-config", "openssl.cnf")
    directory.joinpath("openssl.cnf").write_text(_CONFIG.format(directory=directory, digest=digest))
    for name in ("web1", "web2"):
        openssl("req", "-new", *key, "-keyout", "key", "-out", "csr", "-subj", f"/CN={name}")
        openssl("ca", *config, "-notext", "-in", "csr", "-out", f"{name}.pem")
    openssl("ca", *config, "-revoke", "web1.pem")
    openssl("ca", *config, "-gencrl", "-out", "crl.pem")


@pytest.mark.slow
@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_a_revocation_is_seen_in_an_old_crl(tmp_path: Path, digest: str) -> None:
    """It is vouched for by the CA, whatever the digest; another CA of that name does not do so."""
    make_ca(tmp_path / "ca", digest)
    make_ca(tmp_path / "other", digest)
    crl = tmp_path.joinpath("ca", "crl.pem").read_bytes()
    bundle, other = (tmp_path.joinpath(name, "ca.pem").read_bytes() for name in ("ca", "other"))
    issued = [
        x509.parse_certificate(tmp_path.joinpath("ca", f"{name}.pem").read_bytes())
        for name in ("web1", "web2")
    ]
    revocations = x509.Revocations(crl, bundle)

    assert [revocations.show(each) for each in issued] == [True, False]
    assert [revocations.foreign(each) for each in issued] == [False, False]
    strange = x509.Revocations(crl, other)
    assert (strange.entries, [strange.foreign(each) for each in issued]) == (0, [True, True])


OLD = frozenset({"md5", "sha1"})
NAME = "old1.example.com"


@pytest.mark.parametrize("digest", ["md5", "sha1", "sha256"])
def test_a_csr_of_an_old_agent_is_taken_where_its_digest_is(tmp_path: Path, digest: str) -> None:
    """Where it is not, it is refused, and it is said which one that is."""
    pem = agents_csr(tmp_path, NAME, digest)

    assert x509.check_csr(pem, NAME, (), OLD) == x509.csr_key_sha256(pem)
    if digest != "sha256":
        with pytest.raises(InvalidCsr, match=f"SHA-512, not with {digest}"):
            x509.check_csr(pem, NAME, ())
        with pytest.raises(InvalidCsr, match=f"not with {digest}"):
            x509.check_csr(pem, NAME, (), OLD - {digest})


@pytest.mark.parametrize("digest", ["md5", "sha1"])
def test_an_old_csr_of_another_key_is_refused(tmp_path: Path, digest: str) -> None:
    """The signature is looked at: whoever has only the public key gets no certificate for it."""
    csr = lib.load_pem_x509_csr(agents_csr(tmp_path, NAME, digest))
    stolen = csr.public_bytes(Encoding.DER).replace(NAME.encode(), b"old2.example.com")
    pem = lib.load_der_x509_csr(stolen).public_bytes(Encoding.PEM)

    with pytest.raises(InvalidCsr, match="does not fit its key"):
        x509.check_csr(pem, "old2.example.com", (), OLD)


@pytest.mark.parametrize(
    ("digest", "key", "words", "what"),
    [
        ("md5", "rsa:1024", [], "2048"),
        ("sha224", "rsa:2048", [], "not with sha224"),
        ("sha1", "ec", ["-pkeyopt", "ec_paramgen_curve:P-256"], "does not fit its key"),
        ("sha1", "rsa:2048", ["-sigopt", "rsa_padding_mode:pss"], "does not fit its key"),
        ("sha1", "rsa:2048", ["-addext", "subjectAltName=DNS:puppet"], "alternative name"),
    ],
    ids=["RSA-1024", "SHA-224", "EC", "PSS", "SAN"],
)
def test_an_old_csr_may_be_nothing_else_than_old(
    tmp_path: Path, digest: str, key: str, words: list[str], what: str
) -> None:
    """Its key, its kind of signature and all that it asks for are held to the same rules."""
    pem = agents_csr(tmp_path, NAME, digest, key, *words)

    with pytest.raises(InvalidCsr, match=what):
        x509.check_csr(pem, NAME, (), OLD)
