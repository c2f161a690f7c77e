"""The stand-in of Puppet 2.7.12 lists as the real one did (reference facts on it, 1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from tests.legacy.puppet_cert import Said, Tree, legacy_puppet
from tests.legacy.puppet_lab import error, fingerprint, quick_puppet, said, signed, submit

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A 2.7.12 whose CA is there."""
    return quick_puppet(tmp_path / "puppet", "2.7.12")


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
