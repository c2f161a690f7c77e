"""The stand-in of Puppet 2.7.12 issues as the real one did (reference facts on it, 1.2)."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from tests.legacy.puppet_lab import error, gone, quick_puppet, said, serial, signed, submit

if TYPE_CHECKING:
    from pathlib import Path

    from tests.legacy.puppet_cert import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A 2.7.12 whose CA is there."""
    return quick_puppet(tmp_path / "puppet", "2.7.12")


def test_generate_signs_and_cleans_up(tree: Tree) -> None:
    """Four lines, the two copies of the CSR among them."""
    assert tree.cert("generate", "foo") == said(
        "notice: foo has a waiting certificate request",
        "notice: Signed certificate request for foo",
        gone(tree, "CertificateRequest", "foo", "ca/requests"),
        gone(tree, "CertificateRequest", "foo", "certificate_requests"),
    )


@pytest.mark.parametrize("state", ["valid", "revoked", "only a copy is left", "ca"])
def test_generate_refuses_a_name_that_has_a_certificate(tree: Tree, state: str) -> None:
    """Also one that is revoked, and also when only the copy under certs is left (trap 6)."""
    name = "ca" if state == "ca" else "foo"
    tree.cert("generate", "foo")
    if state == "revoked":
        tree.cert("revoke", "foo")
    if state == "only a copy is left":
        signed(tree, "foo").unlink()

    assert error("generate", f"A Certificate already exists for {name}") == tree.cert(
        "generate", name
    )


def test_generate_refuses_a_name_whose_csr_waits(tree: Tree) -> None:
    """By then it has left a new private key and a copy of its own CSR."""
    waiting = submit(tree, "foo").read_bytes()
    text = "foo already has a requested certificate; ignoring certificate request"

    assert error("generate", text) == tree.cert("generate", "foo")
    assert (tree.ssldir / "private_keys" / "foo.pem").exists()
    copy = (tree.ssldir / "certificate_requests" / "foo.pem").read_bytes()
    assert copy.startswith(b"-----BEGIN CERTIFICATE REQUEST-----")
    assert copy != waiting
    assert waiting == (tree.ssldir / "ca" / "requests" / "foo.pem").read_bytes()


@pytest.mark.parametrize("name", ["foo/bar", "../x"])
def test_generate_refuses_paths(tree: Tree, name: str) -> None:
    """Four lines, of three levels."""
    assert tree.cert("generate", name) == said(
        f'crit: directory traversal detected in Puppet::SSL::Certificate::File: "{name}"',
        f"err: Cached certificate for {name} failed: invalid key",
        f'crit: directory traversal detected in Puppet::SSL::Certificate::Ca: "{name}"',
        "err: Could not call generate: invalid key",
    )


def test_generate_of_a_wildcard_leaves_csr_and_key_behind(tree: Tree) -> None:
    """From then on sign --all fails at it."""
    name = "*.example.com"
    text = f"CSR subject contains a wildcard, which is not allowed: /CN={name}"
    waiting = f"notice: {name} has a waiting certificate request"

    assert said(waiting, f"err: Could not call generate: {text}") == tree.cert("generate", name)
    assert (tree.ssldir / "private_keys" / f"{name}.pem").exists()
    assert error("sign", text) == tree.cert("sign", "--all")


@pytest.mark.parametrize("name", ["bad name", "foo_bar", ".", "", "foo;id", "a\nb", "ünï"])
def test_generate_takes_odd_names(tree: Tree, name: str) -> None:
    """2.7.12 checks none of them."""
    answer = tree.cert("generate", "--", name)

    assert f"notice: Signed certificate request for {name}\n" in answer.stdout
    assert signed(tree, name).exists()


def test_generate_of_a_name_too_long_for_a_file_fails(tree: Tree) -> None:
    """The system's own error is part of the text."""
    answer = tree.cert("generate", "a" * 255)

    assert answer.stdout.startswith("err: Could not call generate: Could not write ")
    assert "privatekeydir: File name too long" in answer.stdout


def test_generate_of_several_stops_at_the_first_that_is_refused(tree: Tree) -> None:
    """What comes before it is made, what comes after is not."""
    tree.cert("generate", "b")

    answer = tree.cert("generate", "a", "b", "c")

    lines = answer.stdout.splitlines()
    assert lines[-1] == "err: Could not call generate: A Certificate already exists for b"
    assert signed(tree, "a").exists()
    assert not signed(tree, "c").exists()


def test_sign_tells_what_it_signed_and_removed(tree: Tree) -> None:
    """Two lines, and no copy under certs is made."""
    submit(tree, "foo")

    removed = gone(tree, "CertificateRequest", "foo", "ca/requests")
    assert said("notice: Signed certificate request for foo", removed) == tree.cert("sign", "foo")
    assert not (tree.ssldir / "certs" / "foo.pem").exists()


def test_sign_fails_without_a_csr(tree: Tree) -> None:
    """A name that is signed already is no different."""
    tree.cert("generate", "foo")

    for name in ("foo", "nosuch"):
        text = f"Could not find certificate request for {name}"
        assert error("sign", text) == tree.cert("sign", name)


def test_sign_of_several_stops_at_the_first_that_is_missing(tree: Tree) -> None:
    """What comes after it stays unsigned."""
    submit(tree, "a")
    submit(tree, "c")

    tree.cert("sign", "a", "b", "c")

    assert (signed(tree, "a").exists(), signed(tree, "c").exists()) == (True, False)


def test_sign_refuses_alternative_names_unless_they_are_allowed(tree: Tree) -> None:
    """The option may stand before the name or after it."""
    sans = [x509.DNSName("foo"), x509.DNSName("alt.example.com")]
    text = (
        "CSR 'foo' contains subject alternative names (DNS:alt.example.com, DNS:foo), which are "
        "disallowed. Use `puppet cert --allow-dns-alt-names sign foo` to sign this request."
    )
    submit(tree, "foo", sans=sans)
    submit(tree, "bar", sans=sans)

    assert error("sign", text) == tree.cert("sign", "foo")
    tree.cert("sign", "--allow-dns-alt-names", "foo")
    tree.cert("sign", "bar", "--allow-dns-alt-names")
    assert (signed(tree, "foo").exists(), signed(tree, "bar").exists()) == (True, True)


def test_sign_refuses_addresses_even_when_names_are_allowed(tree: Tree) -> None:
    """Such a CSR has to be cleaned."""
    submit(tree, "foo", sans=[x509.DNSName("foo"), x509.IPAddress(ip_address("10.0.0.1"))])
    text = (
        "CSR 'foo' contains a subjectAltName outside the DNS label space: DNS:foo, "
        "IP Address:10.0.0.1.  To continue, this CSR needs to be cleaned."
    )

    assert error("sign", text) == tree.cert("sign", "--allow-dns-alt-names", "foo")


def test_sign_refuses_other_extensions(tree: Tree) -> None:
    """Trusted facts as well as the wish to be a CA."""
    fact = x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.3.6.1.4.1.34380.1.1.1"), b"\x0c\x011"
    )
    submit(tree, "ca1", (x509.BasicConstraints(ca=True, path_length=None), True))
    submit(tree, "fact1", (fact, False))

    intro = "CSR has request extensions that are not permitted"
    assert error("sign", f"{intro}: basicConstraints") == tree.cert("sign", "ca1")
    assert signed(tree, "fact1").exists() is False
    assert f"{intro}: " in tree.cert("sign", "fact1").stdout


def test_the_hosts_own_name_may_have_alternative_names(tree: Tree) -> None:
    """It needs no option for them."""
    submit(tree, "master.example.com", sans=[x509.DNSName("puppet")])

    tree.cert("sign", "master.example.com")

    assert signed(tree, "master.example.com").exists()


def test_sign_takes_a_csr_of_another_name(tree: Tree) -> None:
    """The certificate gets the CSR's CN and is stored under the file's name."""
    submit(tree, "mine", cn="yours")

    tree.cert("sign", "mine")

    certificate = x509.load_pem_x509_certificate(signed(tree, "mine").read_bytes())
    assert certificate.subject.rfc4514_string() == "CN=yours"


def test_serials_count_up(tree: Tree) -> None:
    """The CA has the first."""
    tree.cert("generate", "a", "b")

    assert (serial(tree, "a"), serial(tree, "b")) == (2, 3)
