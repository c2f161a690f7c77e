"""Keys, certificates and CRLs are what they should be, and read as they are."""

from __future__ import annotations

import gc
import shutil
import ssl
import subprocess
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509 as lib
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from espm import x509
from espm.errors import BackendRefused, RevocationUnproven
from espm.model import Certname
from tests.crls import is_revoked
from tests.fakes import FakeCa

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = Certname("web1.example.com")


@pytest.mark.parametrize("key_type", ["ec", "rsa"])
def test_a_key_is_unencrypted_pkcs8(key_type: str) -> None:
    """It can be read back, and is the same key."""
    key = x509.new_key(key_type)
    pem = x509.key_pem(key)
    read = load_pem_private_key(pem, None)

    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert x509.key_sha256(key.public_key()) == x509.key_sha256(read.public_key())


@pytest.mark.skipif(not shutil.which("ruby"), reason="there is no Ruby here")
@pytest.mark.parametrize(("key_type", "kind"), [("ec", "EC"), ("rsa", "RSA")])
def test_ruby_reads_our_keys_as_puppets_agent_does(key_type: str, kind: str) -> None:
    """The agent reads private keys with OpenSSL::PKey.read (Puppet::X509::CertProvider)."""
    script = 'key = OpenSSL::PKey.read($stdin.read, ""); print key.class, key.private?'
    ruby = subprocess.run(
        ["ruby", "-ropenssl", "-e", script],
        input=x509.key_pem(x509.new_key(key_type)),
        capture_output=True,
        check=True,
        timeout=60,
    )

    assert ruby.stdout.decode() == f"OpenSSL::PKey::{kind}true"


def test_a_certificate_is_read_whole() -> None:
    """Its key, serial and fingerprint are those of the X.509 library."""
    ca = FakeCa()
    key = x509.new_key()
    ca.submit(NAME, x509.new_csr(NAME, key))
    pem = ca.sign(NAME).pem
    issued = x509.parse_certificate(pem)

    assert (2, x509.key_sha256(key.public_key())) == (issued.serial, issued.key_sha256)
    assert issued.pem.encode() == pem
    assert issued.fingerprint == x509.fingerprint(pem)
    assert issued.not_before < datetime.now(UTC) < issued.not_after
    assert x509.common_name(pem) == NAME


@pytest.mark.parametrize("pem", [b"", b"<html>", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_what_is_not_a_certificate_is_refused(pem: bytes) -> None:
    """The CA, or who answers for it, is not what it should be."""
    for read in (x509.parse_certificate, x509.common_name, x509.certificates):
        with pytest.raises(BackendRefused):
            read(pem)


def test_fingerprints_are_printed_with_colons() -> None:
    """As openssl x509 -fingerprint does."""
    assert x509.colons("00abff") == "00:AB:FF"


@pytest.mark.parametrize("key_type", ["ec", "rsa"])
def test_a_server_certificate_has_all_that_clients_look_at(key_type: str) -> None:
    """Names, addresses, purposes and ten years of validity that began a little ago."""
    key = x509.new_key(key_type)
    pem = x509.self_signed(key, ["espm.example.com", "espm"], ["192.0.2.1", "::1"])
    certificate = lib.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(lib.SubjectAlternativeName).value
    basic = certificate.extensions.get_extension_for_class(lib.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(lib.KeyUsage)
    purposes = certificate.extensions.get_extension_for_class(lib.ExtendedKeyUsage).value

    assert names.get_values_for_type(lib.DNSName) == ["espm.example.com", "espm"]
    assert names.get_values_for_type(lib.IPAddress) == [ip_address("192.0.2.1"), ip_address("::1")]
    assert (basic.critical, basic.value.ca) == (True, False)
    assert usage.value.digital_signature
    assert usage.value.key_encipherment == (key_type == "rsa")
    assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH]
    age = datetime.now(UTC) - certificate.not_valid_before_utc
    assert timedelta(minutes=5) <= age < timedelta(minutes=6)
    validity = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert validity == timedelta(days=3650)
    certificate.verify_directly_issued_by(certificate)


def test_a_long_host_name_is_no_common_name() -> None:
    """A CN has 64 characters at most; the name is in the alternative names all the same."""
    name = f"{'a' * 60}.example.com"
    pem = x509.self_signed(x509.new_key(), [name])

    assert x509.common_name(pem) == "espm"


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl here")
def test_the_pin_is_what_openssl_computes(tmp_path: Path) -> None:
    """The recipe is that of curl's manual page, --pinnedpubkey."""
    path = tmp_path / "cert.pem"
    path.write_bytes(x509.self_signed(x509.new_key(), ["localhost"]))
    recipe = (
        f"openssl x509 -in {path} -pubkey -noout | openssl asn1parse -noout -inform pem "
        f"-out {tmp_path}/key && openssl dgst -sha256 -binary {tmp_path}/key | openssl base64"
    )
    done = subprocess.run(recipe, shell=True, capture_output=True, check=True, timeout=60)

    assert x509.spki_pin(path.read_bytes()) == f"sha256//{done.stdout.decode().strip()}"


def test_a_server_certificate_works_in_tls() -> None:
    """OpenSSL loads it as a trust anchor."""
    context = ssl.create_default_context()
    before = context.cert_store_stats()["x509"]
    pem = x509.self_signed(x509.new_key(), ["localhost"], ["127.0.0.1"])
    context.load_verify_locations(cadata=pem.decode())

    assert context.cert_store_stats()["x509"] == before + 1


def issued(ca: FakeCa, name: Certname = NAME) -> bytes:
    """Return a certificate of *ca*."""
    ca.submit(name, x509.new_csr(name, x509.new_key()))
    return ca.sign(name).pem


def test_only_a_crl_of_the_issuer_proves_a_revocation() -> None:
    """Serial numbers of another CA's CRL mean nothing; concatenated CRLs are told apart."""
    ca, other = FakeCa(), FakeCa()
    other._name = lib.Name.from_rfc4514_string("CN=other")
    pem = issued(ca)
    other.revoked.add(x509.parse_certificate(pem).serial)
    both = other.crl() + ca.crl()
    ca.revoke([NAME])

    assert (is_revoked(both, pem), is_revoked(other.crl() + ca.crl(), pem)) == (False, True)
    with pytest.raises(RevocationUnproven):
        is_revoked(other.crl(), pem)


def test_a_serial_of_two_cas_is_revoked_where_its_issuer_lists_it() -> None:
    """Also where only that serial is looked for."""
    ca, other = FakeCa(), FakeCa("Puppet CA: other")
    ours, theirs = x509.parse_certificate(issued(ca)), x509.parse_certificate(issued(other))
    ca.revoke([NAME])
    crl = x509.Revocations(other.crl() + ca.crl(), serials={ours.serial})

    assert ours.serial == theirs.serial
    assert (crl.show(ours), crl.show(theirs)) == (True, False)


def test_a_certificate_without_an_end_can_be_looked_for() -> None:
    """RFC 5280, 4.1.2.5, has such be valid until the last second of the year 9999."""
    ca = FakeCa()
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    endless = replace(x509.parse_certificate(issued(ca)), not_after=last)

    assert not x509.Revocations(ca.crl(), ca.bundle()).end(endless)


def test_a_crl_that_the_ca_did_not_sign_proves_nothing() -> None:
    """The issuer's name alone can be anybody's."""
    ca, liar = FakeCa(), FakeCa()
    pem = issued(ca)
    ca.revoke([NAME])
    liar.revoked.add(x509.parse_certificate(pem).serial)

    assert is_revoked(liar.crl() + ca.crl(), pem, ca.bundle())
    with pytest.raises(RevocationUnproven):
        is_revoked(liar.crl(), pem, ca.bundle())


def test_a_certificate_is_foreign_to_a_ca_of_the_same_name_with_another_key() -> None:
    """So is one of a CA made anew; without a bundle nobody can say, so none is."""
    ca, anew = FakeCa(), FakeCa()
    found = x509.parse_certificate(issued(ca))

    assert not x509.Revocations(ca.crl(), ca.bundle()).foreign(found)
    assert x509.Revocations(anew.crl(), anew.bundle()).foreign(found)
    assert not x509.Revocations(anew.crl(), anew.bundle() + ca.bundle()).foreign(found)
    assert not x509.Revocations(anew.crl()).foreign(found)


def test_of_a_crl_only_what_is_asked_for_is_kept() -> None:
    """It may list every node that there ever was, and is read for a few of them."""
    ca = FakeCa()
    ours, other = issued(ca), issued(ca, Certname("other.example.com"))
    ca.revoked |= {x509.parse_certificate(ours).serial, *range(10**9, 10**9 + 5000)}
    pem, found = ca.crl(), x509.parse_certificate(ours)
    everything, kept_of_all = _keeping(lambda: x509.Revocations(pem))
    asked, kept = _keeping(lambda: x509.Revocations(pem, serials={found.serial}))

    assert (everything.show(found), asked.show(found)) == (True, True)
    assert (everything.entries, asked.entries) == (5001, 5001)
    assert kept < kept_of_all / 10
    with pytest.raises(RevocationUnproven, match="not looked for"):
        asked.show(x509.parse_certificate(other))


def _keeping(make: Callable[[], x509.Revocations]) -> tuple[x509.Revocations, int]:
    """Return what *make* makes, and how many bytes it keeps."""
    gc.collect()
    tracemalloc.start()
    try:
        made = make()
        return made, tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_a_crl_that_cannot_be_read_is_refused() -> None:
    """It is no proof of anything, and one that broke off is told from none."""
    ca = FakeCa()
    pem = issued(ca)
    for crl in (b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", ca.crl()[:-30]):
        with pytest.raises(BackendRefused):
            is_revoked(ca.crl() + crl, pem)
    with pytest.raises(RevocationUnproven):
        is_revoked(b"", pem)
