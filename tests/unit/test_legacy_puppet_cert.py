"""The stand-in of Puppet 2.7.12 says what the real one did (reference facts on it, 1.2)."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from tests.legacy.puppet_cert import Said, Tree, legacy_puppet
from tests.legacy.puppet_lab import fingerprint, quick_puppet, revoked, serial, submit

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A 2.7.12 whose CA is there."""
    return quick_puppet(tmp_path / "puppet", "2.7.12")


def said(*lines: str) -> Said:
    """What a command says that exits with 0, on stdout only."""
    return Said(0, "".join(f"{line}\n" for line in lines), "")


def error(action: str, text: str) -> Said:
    """What a command says that fails, and exits with 0 all the same."""
    return said(f"err: Could not call {action}: {text}")


def gone(tree: Tree, model: str, name: str, directory: str) -> str:
    """The line that tells of a file's removal."""
    path = tree.ssldir / directory / f"{name}.pem"
    return f"notice: Removing file Puppet::SSL::{model} {name} at '{path}'"


def signed(tree: Tree, name: str) -> Path:
    """Where the CA keeps a certificate."""
    return tree.ssldir / "ca" / "signed" / f"{name}.pem"


def test_the_first_list_makes_the_ca(tmp_path: Path) -> None:
    """Two lines tell of it, and the next list says nothing."""
    tree = legacy_puppet(tmp_path / "puppet", "2.7.12")
    tree.tell(keylength=1024)

    made = said("notice: Signed certificate request for ca", "notice: Rebuilding inventory file")
    assert made == tree.cert("list")
    assert said() == tree.cert("list")
    assert said() == tree.cert("list", "--all")


def test_list_shows_pending_signed_and_revoked_in_this_order(tree: Tree) -> None:
    """Names are bare and padded to the longest, digests are MD5."""
    pending = submit(tree, "pend1.example.com")
    for name in ("foo.example.com", "p2.example.com"):
        tree.cert("generate", name)
    tree.cert("revoke", "p2.example.com")

    waiting = f"  pend1.example.com ({fingerprint(pending)})"
    assert said(waiting) == tree.cert("list")
    foo = fingerprint(signed(tree, "foo.example.com"))
    p2 = fingerprint(signed(tree, "p2.example.com"))
    certificates = (
        f"+ foo.example.com   ({foo})",
        f"- p2.example.com    ({p2}) (certificate revoked)",
    )
    assert said(waiting, *certificates) == tree.cert("list", "--all")
    shorter = [f"+ foo.example.com ({foo})", f"- p2.example.com  ({p2}) (certificate revoked)"]
    assert said(*shorter) == tree.cert("list", "--signed")


def test_list_shows_alternative_names(tree: Tree) -> None:
    """Those of certificates and of CSRs, sorted, each with its kind."""
    tree.cert("generate", "san.example.com", "--dns_alt_names=puppet,puppet.example.com")
    names = [x509.DNSName("sanreq.example.com"), x509.DNSName("alt.example.com")]
    csr = submit(tree, "sanreq.example.com", sans=names)

    certificate = fingerprint(signed(tree, "san.example.com"))
    assert tree.cert("list", "--all") == said(
        f"  sanreq.example.com ({fingerprint(csr)})"
        " (alt names: DNS:alt.example.com, DNS:sanreq.example.com)",
        f"+ san.example.com    ({certificate})"
        " (alt names: DNS:puppet, DNS:puppet.example.com, DNS:san.example.com)",
    )


def test_list_shows_what_has_expired(tree: Tree) -> None:
    """It is one of the reasons why a certificate is not valid."""
    tree.cert("generate", "--ca_ttl=-1s", "exp.example.com")

    digest = fingerprint(signed(tree, "exp.example.com"))
    assert tree.cert("list", "exp.example.com") == said(
        f"- exp.example.com ({digest}) (certificate has expired)"
    )


def test_list_of_a_name_nobody_has_fails(tree: Tree) -> None:
    """It exits with 0 all the same."""
    text = "Could not find a certificate for nosuch.example.com"

    assert error("list", text) == tree.cert("list", "nosuch.example.com")


def test_one_bad_csr_blinds_list(tree: Tree) -> None:
    """An empty file in requests is enough, and nothing else is listed."""
    tree.cert("generate", "foo.example.com")
    (tree.ssldir / "ca" / "requests" / "bad.pem").touch()

    text = "PEM_read_bio_X509_REQ: no start line"
    assert error("list", text) == tree.cert("list", "--all")


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


def test_revoke_tells_the_serial_and_repeats_itself(tree: Tree) -> None:
    """The second time adds a second entry to the CRL."""
    tree.cert("generate", "foo")

    for _ in range(2):
        assert said("notice: Revoked certificate with serial 2") == tree.cert("revoke", "foo")
    assert revoked(tree) == [2, 2]


@pytest.mark.parametrize("name", ["nosuch", "2", "0x0002"])
def test_revoke_knows_names_only(tree: Tree, name: str) -> None:
    """A serial is looked up as a name in any notation."""
    tree.cert("generate", "foo")

    text = f"Could not find a serial number for {name}"
    assert error("revoke", text) == tree.cert("revoke", name)


def test_revoke_of_several_stops_at_the_first_that_is_missing(tree: Tree) -> None:
    """What comes after it stays valid."""
    tree.cert("generate", "b", "c")

    tree.cert("revoke", "a", "b", "c")

    assert revoked(tree) == []


def test_verify_says_nothing_of_a_good_certificate(tree: Tree) -> None:
    """It says why of a revoked one."""
    tree.cert("generate", "foo")

    assert said() == tree.cert("verify", "foo")
    tree.cert("revoke", "foo")
    assert error("verify", "certificate revoked") == tree.cert("verify", "foo")


def test_print_knows_certificates_only(tree: Tree) -> None:
    """A CSR or nothing at all is an error line that names no action."""
    tree.cert("generate", "foo")
    submit(tree, "pend")

    assert tree.cert("print", "foo").stdout.startswith("Certificate:\n    Data:\n ")
    for name in ("pend", "nosuch"):
        assert said(f"err: Could not find certificate for {name}") == tree.cert("print", name)


def test_fingerprint_takes_a_digest_and_does_not_name_it(tree: Tree) -> None:
    """MD5 unless told, in any case, and of CSRs too."""
    tree.cert("generate", "foo")
    csr = submit(tree, "pend")
    path = signed(tree, "foo")

    assert said(f"foo {fingerprint(path)}") == tree.cert("fingerprint", "foo")
    assert said(f"pend {fingerprint(csr)}") == tree.cert("fingerprint", "pend")
    expected = said(f"foo {fingerprint(path, 'sha256')}")
    assert expected == tree.cert("fingerprint", "foo", "--digest", "SHA256")
    text = "bogus is not a valid digest algorithm for fingerprinting certificate foo"
    assert error("fingerprint", text) == tree.cert("fingerprint", "--digest=bogus", "foo")


def test_clean_revokes_and_removes(tree: Tree) -> None:
    """The public key goes without a line, and once more is only a revocation."""
    tree.cert("generate", "foo")

    assert tree.cert("clean", "foo") == said(
        "notice: Revoked certificate with serial 2",
        gone(tree, "Certificate", "foo", "ca/signed"),
        gone(tree, "Certificate", "foo", "certs"),
        gone(tree, "Key", "foo", "private_keys"),
    )
    assert not list(tree.ssldir.rglob("foo.pem"))
    assert said("notice: Revoked certificate with serial 2") == tree.cert("clean", "foo")
    assert revoked(tree) == [2, 2]


def test_clean_of_a_csr_alone_fails_and_removes_it(tree: Tree) -> None:
    """The error line comes first."""
    submit(tree, "pend")

    assert tree.cert("clean", "pend") == said(
        "err: Could not call revoke: Could not find a serial number for pend",
        gone(tree, "CertificateRequest", "pend", "ca/requests"),
    )
    assert error("revoke", "Could not find a serial number for x") == tree.cert("clean", "x")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["sign"], "You must provide hosts or :all when using sign"),
        (["bogus"], "Invalid method bogus to apply"),
        (["sign", "--all"], "No waiting certificate requests to sign"),
        (
            ["generate", "--all"],
            "It makes no sense to generate all hosts; you must specify a list",
        ),
    ],
)
def test_a_command_without_sense_exits_with_24(tree: Tree, arguments: list[str], text: str) -> None:
    """Its text is plain and on stdout."""
    assert Said(24, f"{text}\n", "") == tree.cert(*arguments)


def test_an_option_that_is_not_known_exits_with_1(tree: Tree) -> None:
    """Its text is on stderr."""
    text = "Could not parse options: invalid option: -x\n"

    assert Said(1, "", text) == tree.cert("list", "-x")


def test_without_an_action_there_is_help(tree: Tree) -> None:
    """It exits with 0."""
    answer = tree.run("cert")

    assert (answer.status, answer.stdout.startswith("\npuppet-cert(8)")) == (0, True)


def test_old_spellings_of_actions_are_taken(tree: Tree) -> None:
    """They say and do the same."""
    generated = tree.run("cert", "--generate", "foo", "--color=false")
    assert "notice: Signed certificate request for foo\n" in generated.stdout
    listed = tree.run("cert", "--list", "--all", "--color=false")
    assert tree.cert("list", "--all") == listed


def test_names_are_downcased(tree: Tree) -> None:
    """Before anything else."""
    tree.cert("generate", "BIG.Example.COM")

    assert signed(tree, "big.example.com").exists()


def test_lines_are_coloured_unless_told(tree: Tree) -> None:
    """Even when stdout is no terminal."""
    text = "Could not call revoke: Could not find a serial number for x"

    assert said(f"\x1b[1;35merr: {text}\x1b[0m") == tree.run("cert", "revoke", "x")


def test_serials_count_up(tree: Tree) -> None:
    """The CA has the first."""
    tree.cert("generate", "a", "b")

    assert (serial(tree, "a"), serial(tree, "b")) == (2, 3)
