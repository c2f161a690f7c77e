"""A CSR of a stranger is signed only when it asks for its certname and for nothing else."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509 as lib
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from espm import x509
from espm.errors import InvalidCsr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAME = "web1.example.com"
EC_KEY = ec.generate_private_key(ec.SECP256R1())
SHA256 = hashes.SHA256()
DEFAULT = [(NameOID.COMMON_NAME, NAME)]
PP_INSTANCE_ID = "1.3.6.1.4.1.34380.1.1.2"
PP_AUTH_ROLE = "1.3.6.1.4.1.34380.1.3.13"
PP_CLI_AUTH = "1.3.6.1.4.1.34380.1.3.39"
PRIVATE = "1.3.6.1.4.1.34380.1.2.7"


def san(*names: lib.GeneralName) -> lib.ExtensionType:
    """Return a subject alternative name."""
    return lib.SubjectAlternativeName(names)


def other(oid: str) -> lib.ExtensionType:
    """Return an extension with the UTF8String "x" as its value."""
    return lib.UnrecognizedExtension(lib.ObjectIdentifier(oid), b"\x0c\x01x")


def csr(
    *extensions: lib.ExtensionType,
    subject: Sequence[tuple[lib.ObjectIdentifier, str]] = (),
    key: Any = EC_KEY,
    attributes: Sequence[tuple[str, bytes]] = (),
    algorithm: hashes.SHA224 | hashes.SHA256 | None = SHA256,
) -> bytes:
    """Return a CSR (PEM)."""
    names = [lib.NameAttribute(oid, value) for oid, value in subject or DEFAULT]
    builder = lib.CertificateSigningRequestBuilder().subject_name(lib.Name(names))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    for oid, value in attributes:
        builder = builder.add_attribute(lib.ObjectIdentifier(oid), value)
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM)


def check(pem: bytes, *globs: str) -> str:
    """Check *pem* for NAME."""
    return x509.check_csr(pem, NAME, globs)


@pytest.mark.parametrize(
    "new_key",
    [
        lambda: EC_KEY,
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: ec.generate_private_key(ec.SECP521R1()),
        lambda: rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-256", "P-384", "P-521", "RSA-2048"],
)
def test_a_plain_csr_passes_and_names_its_key(new_key: Callable[[], Any]) -> None:
    """What comes back is the hash by which the certificate will be known."""
    key = new_key()

    assert check(csr(key=key)) == x509.key_sha256(key.public_key())


def test_our_own_csr_passes() -> None:
    """What espm makes is what espm lets pass."""
    key = x509.new_key()
    pem = x509.new_csr(NAME, key)

    assert check(pem) == x509.csr_key_sha256(pem) == x509.key_sha256(key.public_key())


@pytest.mark.parametrize(
    ("new_key", "what"),
    [
        (lambda: rsa.generate_private_key(65537, 1024), "2048"),
        (lambda: rsa.generate_private_key(3, 2048), "exponent"),
        (lambda: ec.generate_private_key(ec.SECP256K1()), "P-256"),
        (lambda: ec.generate_private_key(ec.SECP224R1()), "P-256"),
        (lambda: dsa.generate_private_key(1024), "RSA"),
    ],
    ids=["RSA-1024", "e=3", "secp256k1", "P-224", "DSA"],
)
def test_a_weak_or_odd_key_is_refused(new_key: Callable[[], Any], what: str) -> None:
    """It says which keys are fine."""
    with pytest.raises(InvalidCsr, match=what):
        check(csr(key=new_key()))


def test_an_ed25519_key_is_refused() -> None:
    """No Puppet agent makes one."""
    with pytest.raises(InvalidCsr, match="RSA, or EC"):
        check(csr(key=ed25519.Ed25519PrivateKey.generate(), algorithm=None))


def test_a_weak_signature_is_refused() -> None:
    """SHA-224 stands for all hashes that are not in the list."""
    with pytest.raises(InvalidCsr, match="SHA-256"):
        check(csr(algorithm=hashes.SHA224()))


def test_a_signature_of_another_key_is_refused() -> None:
    """Whoever does not have the private key gets no certificate for it."""
    der = lib.load_pem_x509_csr(csr()).public_bytes(Encoding.DER)
    stolen = der.replace(NAME.encode(), b"web2.example.com")
    pem = lib.load_der_x509_csr(stolen).public_bytes(Encoding.PEM)

    with pytest.raises(InvalidCsr, match="signature"):
        x509.check_csr(pem, "web2.example.com", ())


@pytest.mark.parametrize(
    "subject",
    [
        [(NameOID.COMMON_NAME, "web2.example.com")],
        [(NameOID.COMMON_NAME, NAME.upper())],
        [*DEFAULT, (NameOID.COMMON_NAME, "puppet")],
        [*DEFAULT, *DEFAULT],
        [*DEFAULT, (NameOID.ORGANIZATION_NAME, "x")],
        [(NameOID.ORGANIZATION_NAME, NAME)],
    ],
)
def test_another_subject_is_refused(subject: list[tuple[lib.ObjectIdentifier, str]]) -> None:
    """It is the certname and nothing else."""
    with pytest.raises(InvalidCsr, match=f"CN={NAME}"):
        check(csr(subject=subject))


def test_its_own_name_is_allowed_as_alternative_name() -> None:
    """Agents with dns_alt_names add it."""
    pem = csr(san(lib.DNSName(NAME)))

    assert check(pem) == x509.csr_key_sha256(pem)


@pytest.mark.parametrize(
    "names",
    [
        [lib.DNSName("puppet")],
        [lib.DNSName(NAME), lib.DNSName("puppet")],
        [lib.DNSName(NAME), lib.DNSName(NAME)],
        [lib.DNSName("*.example.com")],
        [lib.RFC822Name(NAME)],
        [lib.UniformResourceIdentifier("https://x/")],
        [lib.DNSName(NAME), lib.RFC822Name("a@example.com")],
        [],
    ],
)
def test_any_other_alternative_name_is_refused_whatever_the_globs(
    names: list[lib.GeneralName],
) -> None:
    """Puppet Server's authorization matches them."""
    with pytest.raises(InvalidCsr, match="alternative name"):
        check(csr(san(*names)), "*", "2.5.29.*")


@pytest.mark.parametrize(
    ("oid", "globs"),
    [
        (PP_INSTANCE_ID, ["pp_instance_id"]),
        (PP_INSTANCE_ID, ["pp_*"]),
        (PP_INSTANCE_ID, ["1.3.6.1.4.1.34380.1.1.*"]),
        (PRIVATE, ["pp_role", PRIVATE]),
        (PP_AUTH_ROLE, ["pp_auth_role"]),
        (PP_AUTH_ROLE, ["pp_auth_*"]),
        (PP_AUTH_ROLE, ["1.3.6.1.4.1.34380.1.3.*"]),
    ],
)
def test_an_extension_that_is_listed_passes(oid: str, globs: list[str]) -> None:
    """By Puppet's name or by number."""
    pem = csr(other(oid))

    assert check(pem, *globs) == x509.csr_key_sha256(pem)


@pytest.mark.parametrize(
    ("oid", "globs"),
    [
        (PP_INSTANCE_ID, []),
        (PP_INSTANCE_ID, ["pp_role", "1.3.6.1.4.1.34380.1.2.*"]),
        (PP_AUTH_ROLE, ["*"]),
        (PP_AUTH_ROLE, ["pp_*"]),
        (PP_AUTH_ROLE, ["1.3.6.1.4.1.34380.1.*"]),
        (PP_CLI_AUTH, ["*", "pp_cli_auth", "pp_auth*", PP_CLI_AUTH]),
    ],
)
def test_an_extension_that_is_not_listed_is_refused(oid: str, globs: list[str]) -> None:
    """What authorization rests on needs a glob of its own, and pp_cli_auth is never signed."""
    with pytest.raises(InvalidCsr, match="extension"):
        check(csr(other(oid)), *globs)


def test_a_csr_for_a_ca_is_refused() -> None:
    """Nor does OpenSSL's default request for basic constraints pass unless it is listed."""
    with pytest.raises(InvalidCsr, match=r"2\.5\.29\.19"):
        check(csr(lib.BasicConstraints(ca=True, path_length=None)), "pp_*")


def test_the_extension_is_named_as_puppet_does() -> None:
    """The platform's administrator finds it in the documentation."""
    with pytest.raises(InvalidCsr, match="pp_instance_id"):
        check(csr(other(PP_INSTANCE_ID)))


@pytest.mark.parametrize(
    "oid",
    [AttributeOID.CHALLENGE_PASSWORD.dotted_string, "1.3.6.1.4.1.34380.1.3.2", PRIVATE],
)
def test_attributes_that_puppets_agents_send_pass(oid: str) -> None:
    """csr_attributes.yaml fills them, and Puppet 8 adds pp_auth_auto_renew."""
    pem = csr(attributes=[(oid, b"x")])

    assert check(pem) == x509.csr_key_sha256(pem)


@pytest.mark.parametrize("oid", ["1.3.6.1.4.1.311.2.1.14", "1.2.3.4"])
def test_other_attributes_are_refused(oid: str) -> None:
    """Microsoft's request for extensions is one that Puppet would read."""
    with pytest.raises(InvalidCsr, match=f"attribute.*{oid}"):
        check(csr(attributes=[(oid, b"x")]))


def test_two_requests_for_extensions_are_refused() -> None:
    """One reader may look at the first, another at the second."""
    with pytest.raises(InvalidCsr):
        check(csr(other(PP_INSTANCE_ID), attributes=[("1.2.840.113549.1.9.14", b"x")]), "*")


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"not PEM",
        csr() + b"trailing",
        b"leading\n" + csr(),
        csr() + csr(),
        csr().replace(b"CERTIFICATE REQUEST", b"CERTIFICATE"),
        csr()[:-60],
        csr().replace(b"-----BEGIN CERTIFICATE REQUEST-----\n", b""),
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        b"-----BEGIN CERTIFICATE REQUEST-----\n=\n-----END CERTIFICATE REQUEST-----\n",
        csr() + b" " * 70_000,
        lib.load_pem_x509_csr(csr()).public_bytes(Encoding.DER),
    ],
)
def test_what_is_not_one_csr_is_refused(pem: bytes) -> None:
    """Two readers must not see two different CSRs in it."""
    with pytest.raises(InvalidCsr):
        check(pem)
    with pytest.raises(InvalidCsr):
        x509.csr_der_sha256(pem)
    assert x509.csr_key_sha256(pem) is None


def test_line_ends_of_windows_and_blank_lines_around_are_fine() -> None:
    """They change nothing, the hash of the DER included."""
    pem = csr()
    odd = b"\r\n\r\n" + pem.replace(b"\n", b"\r\n") + b"\n\n"

    assert (check(pem), x509.csr_der_sha256(pem)) == (check(odd), x509.csr_der_sha256(odd))


@given(st.data())
def test_nothing_but_invalidcsr_comes_of_a_damaged_csr(data: st.DataObject) -> None:
    """Whatever a stranger sends, espm says that it is no valid CSR, and nothing else happens."""
    der = bytearray(lib.load_pem_x509_csr(GOOD).public_bytes(Encoding.DER))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(der) - 1))
        der[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 3))
    body = lib_pem(bytes(der[: len(der) - cut]))
    outcome = "passed"
    try:
        check(body, "*")
    except InvalidCsr:
        outcome = "refused"

    assert outcome == "refused" or body == GOOD


@given(st.binary(max_size=300))
def test_nothing_but_invalidcsr_comes_of_noise(noise: bytes) -> None:
    """The same for what was never a CSR, inside and outside of PEM."""
    for pem in (noise, lib_pem(noise)):
        with pytest.raises(InvalidCsr):
            check(pem, "*")


GOOD = csr(
    san(lib.DNSName(NAME)), other(PP_INSTANCE_ID), attributes=[("1.2.840.113549.1.9.7", b"x")]
)


def lib_pem(der: bytes) -> bytes:
    """Return *der* as PEM that calls itself a CSR."""
    pem = ssl.DER_cert_to_PEM_cert(der)
    return pem.replace("CERTIFICATE", "CERTIFICATE REQUEST").encode()
