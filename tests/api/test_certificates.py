"""Certificates over HTTP: made, signed, replaced, revoked; and what is refused."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID, ObjectIdentifier

from espm.errors import BackendUnavailable, CsrPending
from tests.api.test_nodes import NAME, PATH, slug

if TYPE_CHECKING:
    from espm.model import SignedCertificate
    from tests.api.platform import Client, Espm

CERTIFICATE = PATH + "/certificate"


def make_csr(name: str = NAME, *, key: Any = None, **extensions: x509.ExtensionType) -> bytes:
    """Return a CSR as an instance would make it."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    for extension in extensions.values():
        builder = builder.add_extension(extension, critical=False)
    signing = key or ec.generate_private_key(ec.SECP256R1())
    return builder.sign(signing, hashes.SHA256()).public_bytes(Encoding.PEM)


def der_sha256(csr: bytes) -> str:
    """Return what an instance would say of its CSR."""
    der = x509.load_pem_x509_csr(csr).public_bytes(Encoding.DER)
    return hashlib.sha256(der).hexdigest()


@pytest.fixture
def node(cloud: Client) -> Client:
    """A platform with a node that has no certificate yet."""
    cloud.add(NAME)
    return cloud


def test_espm_makes_key_and_certificate(espm: Espm, node: Client) -> None:
    """{} gives a key that fits the certificate; GET never shows the key again."""
    answer = node.call("POST", CERTIFICATE, json={})

    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == CERTIFICATE
    assert answer.headers["Cache-Control"] == "no-store"
    key: Any = load_pem_private_key(answer.json()["private_key"].encode(), None)
    certificate = x509.load_pem_x509_certificate(answer.json()["certificate"].encode())
    assert key.public_key() == certificate.public_key()
    again = node.get(CERTIFICATE).json()
    assert "private_key" not in again
    assert again["serial"] == answer.json()["serial"]
    assert again["fingerprint"] == certificate.fingerprint(hashes.SHA256()).hex()


def test_a_csr_is_signed(node: Client) -> None:
    """A CSR of the instance's own is signed, and no key is returned."""
    answer = node.call("POST", CERTIFICATE, json={"csr": make_csr().decode()})

    assert answer.status_code == 201, answer.text
    assert "private_key" not in answer.json()


def test_the_pending_csr_is_signed_if_it_is_the_one(espm: Espm, node: Client) -> None:
    """sign_pending signs the CSR whose fingerprint the platform names, and no other."""
    csr = espm.ca.requests[NAME] = make_csr()
    wrong = node.call("POST", CERTIFICATE, json={"sign_pending": "0" * 64})
    right = node.call("POST", CERTIFICATE, json={"sign_pending": der_sha256(csr)})

    assert slug(wrong) == "csr-mismatch"
    assert right.status_code == 201, right.text


def test_nothing_pending_is_said(node: Client) -> None:
    """sign_pending without a CSR at the CA is 409 csr-unknown."""
    assert slug(node.call("POST", CERTIFICATE, json={"sign_pending": "0" * 64})) == "csr-unknown"


def test_a_stranger_in_the_way_is_said_and_replaced(espm: Espm, node: Client) -> None:
    """A CSR that waits blocks ours, until replace_pending removes it."""
    espm.ca.requests[NAME] = make_csr()
    blocked = node.call("POST", CERTIFICATE, json={})
    replaced = node.call("POST", CERTIFICATE, json={"replace_pending": True})

    assert slug(blocked) == "csr-pending"
    assert replaced.status_code == 201, replaced.text


def test_a_second_certificate_is_refused(node: Client) -> None:
    """A node has one certificate; a new one needs the old one revoked, and then is another."""
    first = node.call("POST", CERTIFICATE, json={}).json()["serial"]

    assert slug(node.call("POST", CERTIFICATE, json={})) == "certificate-exists"
    assert node.call("DELETE", CERTIFICATE).status_code == 204
    assert node.get(CERTIFICATE).json()["state"] == "revoked"
    assert node.call("DELETE", CERTIFICATE).status_code == 204
    assert node.call("POST", CERTIFICATE, json={}).json()["serial"] != first


def test_a_certificate_of_somebody_else_is_not_ours(espm: Espm, node: Client) -> None:
    """A certificate signed by hand for our node's name is never touched, nor replaced."""
    espm.ca.requests[NAME] = make_csr()
    espm.ca.sign(NAME)  # type: ignore[arg-type]
    held = espm.ca.issued[NAME]

    assert slug(node.call("POST", CERTIFICATE, json={})) == "certname-taken"
    assert node.call("DELETE", PATH).status_code == 204
    assert espm.ca.issued[NAME] == held
    assert espm.ca.revoked == set()


def test_no_certificate_is_said(node: Client) -> None:
    """GET and DELETE of a certificate that never was are 404 certificate-unknown."""
    assert slug(node.get(CERTIFICATE)) == "certificate-unknown"
    assert slug(node.call("DELETE", CERTIFICATE)) == "certificate-unknown"


_OID = ObjectIdentifier("1.3.6.1.4.1.34380.1.1.13")
_SAN = x509.SubjectAlternativeName([x509.DNSName(NAME), x509.DNSName("puppet")])


@pytest.mark.parametrize(
    "csr",
    [
        b"not a csr",
        make_csr("other.example.com"),
        make_csr(san=_SAN),
        make_csr(role=x509.UnrecognizedExtension(_OID, b"\x0c\x03web")),
        make_csr(key=rsa.generate_private_key(65537, 1024)),
    ],
    ids=["no PEM", "other CN", "SAN", "extension", "weak key"],
)
def test_a_csr_that_must_not_be_signed(espm: Espm, node: Client, csr: bytes) -> None:
    """A CSR with more than its name, or too weak, is 422 whichever way it came."""
    sent = node.call("POST", CERTIFICATE, json={"csr": csr.decode()})
    launched = node.add("web-2.example.com", certificate={"csr": csr.decode()})

    assert slug(sent) == "invalid-csr"
    assert slug(launched) == "invalid-csr"
    assert node.get("/v1/nodes/web-2.example.com").status_code == 404
    assert all(call[0] not in {"submit", "sign"} for call in espm.ca.calls)


def test_a_pending_csr_is_held_to_the_same_rules(espm: Espm, node: Client) -> None:
    """sign_pending does not sign what a CSR in the body would not be signed for."""
    csr = espm.ca.requests[NAME] = make_csr(san=_SAN)

    answer = node.call("POST", CERTIFICATE, json={"sign_pending": der_sha256(csr)})

    assert slug(answer) == "invalid-csr"
    assert espm.ca.requests[NAME] == csr


def test_a_lost_signature_is_taken_back(espm: Espm, node: Client) -> None:
    """When the CA signed but did not answer, the certificate nobody has is revoked."""
    espm.ca.fail_after["sign"] = BackendUnavailable("the CA does not answer")
    answer = node.call("POST", CERTIFICATE, json={})
    espm.ca.fail_after.clear()

    assert slug(answer) == "backend-unavailable"
    assert len(espm.ca.revoked) == 1
    assert NAME not in espm.ca.issued
    assert node.call("POST", CERTIFICATE, json={}).status_code == 201


def test_a_lost_signature_of_the_nodes_own_key_is_kept(espm: Espm, node: Client) -> None:
    """When the node holds the key, what the CA signed is good and can be read."""
    espm.ca.fail_after["sign"] = BackendUnavailable("the CA does not answer")
    node.call("POST", CERTIFICATE, json={"csr": make_csr().decode()})
    espm.ca.fail_after.clear()

    assert node.get(CERTIFICATE).json()["state"] == "valid"
    assert espm.ca.revoked == set()


def test_what_cannot_be_taken_back_is_remembered(espm: Espm, node: Client) -> None:
    """A CA that goes away half-way leaves a row that the next start carries on."""
    down = BackendUnavailable("the CA does not answer")
    espm.ca.fail_after["sign"] = espm.ca.fail_before["revoke"] = down
    assert node.call("POST", CERTIFICATE, json={}).status_code == 503
    assert NAME in espm.ca.issued
    espm.ca.fail_after.clear()
    assert espm.recover() == 1
    espm.ca.fail_before.clear()

    assert espm.recover() == 0
    assert NAME not in espm.ca.issued
    assert len(espm.ca.revoked) == 1


def test_another_key_than_ours_is_an_error(
    espm: Espm, node: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """What our call had signed for somebody else is given to nobody, and revoked with proof."""
    espm.ca.overtaking[NAME] = make_csr()

    answer = node.call("POST", CERTIFICATE, json={})

    assert slug(answer) == "backend-unavailable"
    assert "try again" in answer.json()["detail"]
    assert "the CA signed another key" not in caplog.text, "that is for the administrator"
    assert node.get(CERTIFICATE).json()["state"] == "revoked"
    assert [x509.load_pem_x509_certificate(pem).serial_number for pem in espm.ca.signed[1:]] == [
        *espm.ca.revoked
    ]
    assert node.call("POST", CERTIFICATE, json={}).status_code == 201


def test_another_key_that_somebody_else_had_signed_is_left_alone(
    espm: Espm, node: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Only what our own call has signed is ours; this an administrator may have wanted."""
    sign, theirs = espm.ca.sign, make_csr()

    def late(certname: Any, _csr: Any = None) -> SignedCertificate:
        espm.ca.sign_instead(certname, theirs)
        return sign(certname)

    espm.ca.sign = late  # type: ignore[method-assign]

    assert slug(node.call("POST", CERTIFICATE, json={})) == "backend-refused"
    assert node.get(CERTIFICATE).status_code == 404
    assert espm.ca.revoked == set()
    assert NAME in espm.ca.issued
    assert caplog.text.count(f"the CA signed another key for {NAME}, serial 2") == 1


def test_a_csr_that_overtakes_ours_and_is_seen_in_time_is_not_signed(
    espm: Espm, node: Client
) -> None:
    """It waits at the CA, as if it had come first, and the platform is told what it can do."""
    theirs = make_csr()

    def seen(certname: Any, _csr: Any = None) -> NoReturn:
        espm.ca.requests[certname] = theirs
        raise CsrPending(certname)

    espm.ca.sign = seen  # type: ignore[method-assign]
    answer = node.call("POST", CERTIFICATE, json={})

    assert slug(answer) == "csr-pending"
    assert "replace_pending" in answer.json()["detail"]
    assert espm.ca.requests == {NAME: theirs}
    assert espm.ca.issued == {}


def test_what_is_signed_while_we_look_is_found(espm: Espm, node: Client) -> None:
    """A call that the CA hears late, between two of our looks, leaves nothing valid."""
    espm.ca.fail_before["sign"] = BackendUnavailable("the CA does not answer")
    real = espm.ca.request

    def late(certname: Any) -> bytes | None:
        if certname in espm.ca.requests:
            espm.ca._sign(certname)
        return real(certname)

    real_sign = espm.ca.sign

    def refused(certname: Any, _csr: Any = None) -> SignedCertificate:
        espm.ca.request = late  # type: ignore[method-assign]
        return real_sign(certname)

    espm.ca.sign = refused  # type: ignore[method-assign]

    assert node.call("POST", CERTIFICATE, json={}).status_code == 503
    assert NAME not in espm.ca.issued
    assert len(espm.ca.revoked) == 1


def test_another_certificate_of_the_same_key_is_revoked_and_proved_too(
    espm: Espm, node: Client
) -> None:
    """A renewed certificate takes part in the retirement, and so does the one it replaced."""
    node.call("POST", CERTIFICATE, json={"csr": (csr := make_csr()).decode()})
    first = x509.load_pem_x509_certificate(espm.ca.issued.pop(NAME)).serial_number
    espm.ca.requests[NAME] = csr
    espm.ca.sign(NAME)  # type: ignore[arg-type]
    answer = node.call("DELETE", PATH)

    assert answer.status_code == 202
    assert f"serial {first:X}" in answer.json()["last_error"]
    espm.ca.revoked.add(first)
    assert node.call("DELETE", PATH).status_code == 204
    assert len(espm.ca.revoked) == 2


def test_a_left_issue_does_not_hide_a_certificate(espm: Espm, node: Client) -> None:
    """DELETE of a certificate finds the one whose issue was left half-way."""
    down = BackendUnavailable("the CA does not answer")
    espm.ca.fail_after["sign"] = down
    real = espm.ca.certificate
    espm.ca.certificate = _once_then(real, down)  # type: ignore[method-assign]
    node.call("POST", CERTIFICATE, json={"csr": make_csr().decode()})
    espm.ca.certificate = real  # type: ignore[method-assign]
    espm.ca.fail_after.clear()

    assert node.call("DELETE", CERTIFICATE).status_code == 204
    assert NAME not in espm.ca.issued
    assert len(espm.ca.revoked) == 1


def _once_then(real: Any, error: Exception) -> Any:
    """Return *real* for its first call, and what raises *error* for the others."""
    calls: list[Any] = []

    def wrapper(certname: Any) -> Any:
        calls.append(certname)
        if len(calls) > 1:
            raise error
        return real(certname)

    return wrapper


@pytest.mark.parametrize("lost", [False, True])
def test_an_extension_that_was_swapped_in_is_revoked(
    espm: Espm, node: Client, *, lost: bool
) -> None:
    """What the CA signed is held to the rules for CSRs, also when its answer was lost."""
    if lost:
        espm.ca.fail_after["sign"] = BackendUnavailable("late")
    key = ec.generate_private_key(ec.SECP256R1())
    plain = make_csr(key=key)
    issue = espm.ca._issue

    def with_role(subject: Any, public_key: Any, *, ca: bool) -> bytes:
        return issue(subject, public_key, ca=ca, role=x509.UnrecognizedExtension(_OID, b"\x0c"))

    espm.ca._issue = with_role  # type: ignore[method-assign, assignment]
    answer = node.call("POST", CERTIFICATE, json={"csr": plain.decode()})

    assert slug(answer) == ("backend-unavailable" if lost else "backend-refused")
    assert len(espm.ca.revoked) == 1
    assert NAME not in espm.ca.issued
