"""Certificates and CRLs signed with SHA-1, as Puppet up to 2.7 does; openssl makes them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from espm import x509

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
