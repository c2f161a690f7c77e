"""CSRs, certificates and CRLs with bytes that somebody changed: refused, or right all the same."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509 as lib
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from espm import x509
from espm.errors import BackendRefused, InvalidCsr, RevocationUnproven
from tests.crls import is_revoked
from tests.hostile import pem, signed, spoilt

# Serials below zero and the like are told as warnings, not errors.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.torture]

NAME = "web1.example.com"
KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)
CA_KEY = ec.generate_private_key(ec.SECP256R1())
CA_NAME = lib.Name([lib.NameAttribute(NameOID.COMMON_NAME, "Puppet CA: test")])
SUBJECT = lib.Name([lib.NameAttribute(NameOID.COMMON_NAME, NAME)])
NOW = datetime(2026, 11, 21, tzinfo=UTC)
EXTENSIONS: list[lib.ExtensionType] = [
    lib.SubjectAlternativeName([lib.DNSName(NAME)]),
    lib.SubjectAlternativeName([lib.DNSName("other.example.com"), lib.DNSName(NAME)]),
    lib.UnrecognizedExtension(lib.ObjectIdentifier("1.3.6.1.4.1.34380.1.1.2"), b"\x0c\x01x"),
    lib.UnrecognizedExtension(lib.ObjectIdentifier("1.3.6.1.4.1.34380.1.3.39"), b"\x0c\x04true"),
]


def csrs(key: Any, *extensions: lib.ExtensionType) -> lib.CertificateSigningRequest:
    """Return a CSR as an instance makes it."""
    builder = lib.CertificateSigningRequestBuilder().subject_name(SUBJECT)
    builder = builder.add_attribute(lib.ObjectIdentifier("1.2.840.113549.1.9.7"), b"secret")
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm)


def certificate(key: Any, serial: int = 7, **more: Any) -> lib.Certificate:
    """Return a certificate of the CA's."""
    builder = (
        lib.CertificateBuilder(CA_NAME, more.get("subject", SUBJECT), key.public_key(), serial)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=3650))
        .add_extension(lib.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    for extension in more.get("extensions", EXTENSIONS[:1]):
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(CA_KEY, hashes.SHA256())


def crl(*serials: int) -> lib.CertificateRevocationList:
    """Return a CRL of the CA's."""
    builder = lib.CertificateRevocationListBuilder(CA_NAME, NOW, NOW + timedelta(days=1))
    for serial in serials:
        entry = lib.RevokedCertificateBuilder(serial, NOW).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(CA_KEY, hashes.SHA256())


CSRS = [
    csrs(KEY),
    *(csrs(KEY, extension) for extension in EXTENSIONS),
    csrs(KEY, EXTENSIONS[0], EXTENSIONS[2]),
]
#: What the platform's limit ``extensions`` may be.
GLOBS = st.sampled_from([[], ["1.3.6.1.4.1.34380.1.1.*"], ["pp_instance_id"]])
CERTIFICATES = [certificate(KEY), certificate(KEY, extensions=[*EXTENSIONS[1:]])]
BUNDLE = certificate(CA_KEY, 1, subject=CA_NAME, extensions=[]).public_bytes(Encoding.PEM)
VALID = certificate(KEY, 7).public_bytes(Encoding.PEM)


def check(pem_: bytes, *globs: str) -> None:
    """Return when the CSR is refused, or when it is right and was taken."""
    with suppress(InvalidCsr):
        found = x509.check_csr(pem_, NAME, globs)
        csr = lib.load_pem_x509_csr(pem_)
        assert csr.is_signature_valid
        assert [(each.oid, each.value) for each in csr.subject] == [(NameOID.COMMON_NAME, NAME)]
        assert found == x509.key_sha256(csr.public_key())
        for extension in csr.extensions:
            if isinstance(extension.value, lib.SubjectAlternativeName):
                assert [*extension.value] == [lib.DNSName(NAME)]
            else:
                assert extension.oid.dotted_string.startswith("1.3.6.1.4.1.34380.1.1.")
                assert globs


@given(spoilt([each.public_bytes(Encoding.DER) for each in [*CSRS, csrs(RSA_KEY)]]), GLOBS)
def test_a_spoilt_csr_is_refused_or_right(der: bytes, globs: list[str]) -> None:
    """Nothing but InvalidCsr comes out, whatever became of its bytes."""
    check(pem("CERTIFICATE REQUEST", der), *globs)


@given(spoilt([each.tbs_certrequest_bytes for each in CSRS]), GLOBS)
def test_a_csr_that_was_spoilt_and_then_signed_is_refused_or_right(
    content: bytes, globs: list[str]
) -> None:
    """Whoever holds the key can sign anything: subject, attributes, extensions of any form."""
    check(
        pem("CERTIFICATE REQUEST", signed(content, KEY)),
        *globs,
    )


@given(spoilt([CSRS[1].public_bytes(Encoding.PEM)]) | st.binary(max_size=200))
def test_spoilt_pem_is_no_csr(text: bytes) -> None:
    """Neither armour nor base64 lets anything else out."""
    check(text, "*")


@given(
    spoilt([each.public_bytes(Encoding.PEM) for each in CSRS])
    | spoilt([each.tbs_certrequest_bytes for each in CSRS]).map(
        lambda content: pem("CERTIFICATE REQUEST", signed(content, KEY))
    )
)
def test_whose_csr_it_is_can_always_be_said(text: bytes) -> None:
    """Anybody may leave a CSR at the CA; it is ours, or it is not."""
    found = x509.csr_key_sha256(text)
    assert found is None or found == x509.key_sha256(lib.load_pem_x509_csr(text).public_key())
    with suppress(InvalidCsr):
        assert len(x509.csr_der_sha256(text)) == 64


def read_certificate(text: bytes) -> None:
    """Have a certificate read in every way that espm has."""
    with suppress(BackendRefused):
        x509.common_name(text)
    with suppress(BackendRefused):
        x509.certificates(text)
    with suppress(BackendRefused):
        x509.check_issued(text, NAME, ["*"])
    with suppress(BackendRefused):
        x509.fingerprint(text)
    with suppress(BackendRefused):
        issued = x509.parse_certificate(text)
        assert lib.load_pem_x509_certificate(issued.pem.encode()).serial_number == issued.serial


@given(
    spoilt([each.public_bytes(Encoding.DER) for each in CERTIFICATES]).map(
        lambda der: pem("CERTIFICATE", der)
    )
    | spoilt([each.tbs_certificate_bytes for each in CERTIFICATES]).map(
        lambda content: pem("CERTIFICATE", signed(content, CA_KEY))
    )
    | spoilt([each.public_bytes(Encoding.PEM) for each in CERTIFICATES])
    | st.binary(max_size=200)
)
def test_a_spoilt_certificate_is_refused_or_read(text: bytes) -> None:
    """Nothing but BackendRefused comes out: it is the CA that gave it."""
    read_certificate(text)


CRLS = [crl(), crl(5), crl(5, 7)]


@given(
    spoilt([each.public_bytes(Encoding.DER) for each in CRLS[:2]]).map(
        lambda der: pem("X509 CRL", der)
    )
    | spoilt([each.tbs_certlist_bytes for each in CRLS[:2]]).map(
        lambda content: pem("X509 CRL", signed(content, KEY))
    )
)
def test_a_spoilt_crl_proves_nothing(text: bytes) -> None:
    """What the CA's key did not sign shows no certificate as revoked."""
    with suppress(BackendRefused, RevocationUnproven):
        assert not is_revoked(text, VALID, BUNDLE)


@given(
    spoilt([each.tbs_certlist_bytes for each in CRLS]).map(
        lambda content: pem("X509 CRL", signed(content, CA_KEY))
    )
    | spoilt([each.public_bytes(Encoding.PEM) for each in CRLS])
    | st.binary(max_size=200)
)
def test_an_odd_crl_of_the_cas_is_refused_or_read(text: bytes) -> None:
    """Nothing but the two documented errors comes out, with and without a bundle."""
    for bundle in (None, BUNDLE):
        with suppress(BackendRefused, RevocationUnproven):
            is_revoked(text, VALID, bundle)


@given(spoilt([BUNDLE]), spoilt([VALID]))
def test_an_odd_bundle_or_certificate_proves_nothing(bundle: bytes, text: bytes) -> None:
    """Nothing but the two documented errors comes out."""
    good = CRLS[2].public_bytes(Encoding.PEM)
    with suppress(BackendRefused, RevocationUnproven):
        is_revoked(good, text, bundle)
