"""The stand-ins of Puppet's versions differ as the real ones did (reference facts, 1.1, 1.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from tests.legacy.puppet_cert import Said, Tree
from tests.legacy.puppet_lab import fingerprint, quick_puppet, revoked, signed, submit
from tests.legacy.puppet_versions import KNOWN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Make = Callable[[str], Tree]

MISSING = "Could not find a serial number for x"
MODERN = ("3.8.7", "5.5.22")
WARNING = (
    "Warning: `puppet cert` is deprecated and will be removed in a future release.\n   (location: "
)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a Puppet of a version, with the certificate foo."""

    def make(version: str) -> Tree:
        """Make one."""
        tree = quick_puppet(tmp_path / version, version)
        tree.cert("generate", "foo")
        return tree

    return make


def errors(answer: Said) -> str:
    """What is on stderr besides the newest version's warning."""
    lines = answer.stderr.splitlines(keepends=True)
    return "".join(lines[2:] if answer.stderr.startswith(WARNING) else lines)


@pytest.mark.parametrize("version", KNOWN)
def test_each_tells_its_version(make: Make, version: str) -> None:
    """One line, nothing else."""
    assert Said(0, f"{version}\n", "") == make(version).run("--version")


def test_a_failure_exits_with_0_up_to_2_7_18(make: Make) -> None:
    """Then with 24, told twice, and since 3.0 on stderr."""
    told = f"err: Could not call revoke: {MISSING}\n"

    assert Said(0, told, "") == make("2.7.12").cert("revoke", "x")
    assert Said(0, told, "") == make("2.7.18").cert("revoke", "x")
    assert Said(24, f"{told}{MISSING}\n", "") == make("2.7.19").cert("revoke", "x")
    assert Said(24, "", f"Error: {MISSING}\n") == make("3.8.7").cert("revoke", "x")
    newest = make("5.5.22").cert("revoke", "x")
    assert (newest.status, newest.stdout) == (24, "")
    assert f"Error: {MISSING}\n" == errors(newest)


def test_only_the_newest_warns_of_its_end(make: Make) -> None:
    """Two lines on stderr, whatever the command."""
    assert make("3.8.7").cert("list").stderr == ""
    warning = make("5.5.22").cert("list").stderr
    assert warning.startswith(WARNING)
    assert warning.count("\n") == 2


@pytest.mark.parametrize("version", MODERN)
def test_notices_have_a_capital_since_3_0(make: Make, version: str) -> None:
    """They stay on stdout."""
    assert (
        make(version).cert("revoke", "foo").stdout == "Notice: Revoked certificate with serial 2\n"
    )


@pytest.mark.parametrize("version", KNOWN[1:3])
def test_names_in_lists_are_quoted_since_2_7_18(make: Make, version: str) -> None:
    """The digest is still MD5 without its name."""
    tree = make(version)
    tree.cert("generate", "longer", "--dns_alt_names=alt")

    foo, longer = (fingerprint(signed(tree, name)) for name in ("foo", "longer"))
    assert tree.cert("list", "--all").stdout == (
        f'+ "foo"    ({foo})\n+ "longer" ({longer}) (alt names: "DNS:alt", "DNS:longer")\n'
    )


@pytest.mark.parametrize("version", MODERN)
def test_digests_in_lists_are_named_since_3_0(make: Make, version: str) -> None:
    """They are SHA-256, also those of CSRs and of what was revoked."""
    tree = make(version)
    csr = submit(tree, "pending")
    tree.cert("revoke", "foo")

    digest = fingerprint(signed(tree, "foo"), "sha256")
    assert tree.cert("list", "--all").stdout == (
        f'  "pending" (SHA256) {fingerprint(csr, "sha256")}\n'
        f'- "foo"     (SHA256) {digest} (certificate revoked)\n'
    )
    assert f"foo (SHA256) {digest}\n" == tree.cert("fingerprint", "foo").stdout


def test_print_of_a_missing_name_fails_since_3_0(make: Make) -> None:
    """2.7.19 tells it once and exits with 0 although its other failures exit with 24."""
    text = "Could not find certificate for x"

    assert Said(0, f"err: {text}\n", "") == make("2.7.19").cert("print", "x")
    assert Said(24, "", f"Error: {text}\n") == make("3.8.7").cert("print", "x")
    newest = make("5.5.22")
    assert f"Error: {text}\n" == errors(newest.cert("print", "x"))
    assert f"Error: {text}\n" == errors(newest.cert("fingerprint", "x"))


def test_a_serial_can_be_revoked_since_2_7_20(make: Make) -> None:
    """Any number, whether it was issued or not, but never in decimal."""
    for version in MODERN:
        tree = make(version)
        answer = tree.cert("revoke", "0xFFFF")
        assert answer.stdout == "Notice: Revoked certificate with serial 65535\n"
        assert revoked(tree) == [0xFFFF]
        assert tree.cert("revoke", "2").status == 24
    assert make("2.7.19").cert("revoke", "0x0002").status == 24


@pytest.mark.parametrize("version", KNOWN[1:])
def test_a_csr_of_another_name_is_refused_since_2_7_18(make: Make, version: str) -> None:
    """It stays where it is."""
    tree = make(version)
    csr = submit(tree, "mine", cn="yours")

    tree.cert("sign", "mine")

    assert (signed(tree, "mine").exists(), csr.exists()) == (False, True)


@pytest.mark.parametrize("version", KNOWN[1:])
@pytest.mark.parametrize("name", ["a\nb", "\u00fcn\u00ef", ""])
def test_odd_names_are_refused_since_2_7_18(make: Make, version: str, name: str) -> None:
    """The text quotes them."""
    answer = make(version).cert("generate", "--", name)

    text = answer.stdout + answer.stderr
    assert "must not contain unprintable or non-ASCII characters" in text
    assert "Signed" not in text


def test_only_the_newest_knows_machine_readable(make: Make) -> None:
    """Elsewhere it is an option that is not understood, of which the text differs too."""
    text = "options: invalid option: --machine-readable\n"

    assert Said(1, "", f"Could not parse {text}") == make("2.7.19").cert(
        "list", "--machine-readable"
    )
    assert Said(1, "", f"Error: Could not parse application {text}") == make("3.8.7").cert(
        "list", "--machine-readable"
    )


def test_the_newest_lists_for_machines_and_for_humans(make: Make) -> None:
    """Only certificates have an expiry; --verbose is the form for machines."""
    tree = make("5.5.22")
    certificate = x509.load_pem_x509_certificate(signed(tree, "foo").read_bytes())
    expiry = certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    digest = fingerprint(signed(tree, "foo"), "sha256")
    csr = fingerprint(submit(tree, "pending"), "sha256")

    machine = f'  "pending" (SHA256) {csr}\n+ "foo" (SHA256) {digest} {expiry}\n'
    assert machine == tree.cert("list", "--all", "--machine-readable").stdout
    assert machine == tree.cert("list", "--all", "--verbose").stdout
    assert tree.cert("list", "foo", "--human-readable").stdout == (
        f'+ "foo"\n  (SHA256) {digest}\n    Status: Signed\n    Expiration: {expiry}\n\n'
    )


def test_trusted_facts_are_signed_since_3_0(make: Make) -> None:
    """The newest marks such a certificate with two asterisks."""
    fact = x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.3.6.1.4.1.34380.1.1.1"), b"\x0c\x03abc"
    )
    for version in MODERN:
        tree = make(version)
        submit(tree, "fact", (fact, False))
        tree.cert("sign", "fact")
        line = tree.cert("list", "fact").stdout
        assert (version == "5.5.22") == line.endswith(" **\n")
    assert line.startswith('+ "fact" (SHA256) ')
    machine = tree.cert("list", "fact", "--machine-readable").stdout
    assert machine.endswith(' (pp_uuid: "abc")\n')


def test_the_newest_shows_the_csr_before_it_signs(make: Make) -> None:
    """The others tell only what they did."""
    tree = make("5.5.22")
    csr = submit(tree, "bar")
    digest = fingerprint(csr, "sha256")

    assert tree.cert("sign", "bar").stdout == (
        f'Signing Certificate Request for:\n  "bar" (SHA256) {digest}\n'
        "Notice: Signed certificate request for bar\n"
        f"Notice: Removing file Puppet::SSL::CertificateRequest bar at '{csr}'\n"
    )


def test_sign_without_a_csr_has_a_text_of_its_own_in_the_newest(make: Make) -> None:
    """3.8.7 still says it as 2.7 does."""
    old = make("3.8.7").cert("sign", "x")
    assert Said(24, "", "Error: Could not find certificate request for x\n") == old
    assert errors(make("5.5.22").cert("sign", "x")) == 'Error: Could not find CSR for: "x".\n'


@pytest.mark.parametrize("version", ["2.7.19", "3.8.7"])
def test_clean_of_a_csr_alone_leaves_it_there(make: Make, version: str) -> None:
    """In these versions nothing is removed when nothing could be revoked."""
    tree = make(version)
    csr = submit(tree, "pending")

    answer = tree.cert("clean", "pending")

    assert (answer.status, csr.exists()) == (24, True)
    assert "Could not find a serial number for pending" in answer.stdout + answer.stderr


def test_clean_of_a_csr_alone_removes_it_in_the_newest(make: Make) -> None:
    """It exits with 0."""
    tree = make("5.5.22")
    csr = submit(tree, "pending")

    answer = tree.cert("clean", "pending")

    removed = f"Notice: Removing file Puppet::SSL::CertificateRequest pending at '{csr}'\n"
    assert (0, removed, False) == (answer.status, answer.stdout, csr.exists())


@pytest.mark.parametrize("version", ["2.7.19", *MODERN])
def test_clean_of_several_removes_nothing_after_a_failure(make: Make, version: str) -> None:
    """What comes before the failure is revoked and stays in the list."""
    tree = make(version)
    tree.cert("generate", "b")

    assert tree.cert("clean", "foo", "x", "b").status == 24
    assert revoked(tree) == [2]
    assert (signed(tree, "foo").exists(), signed(tree, "b").exists()) == (True, True)
    assert '\n- "foo" ' in tree.cert("list", "--all").stdout


def test_the_newest_refuses_to_clean_everybody(make: Make) -> None:
    """Up to 3.8.7 it is done."""
    old, new = make("3.8.7"), make("5.5.22")

    assert old.cert("clean", "--all").status == 0
    assert not signed(old, "foo").exists()
    for action in ("clean", "revoke"):
        assert new.cert(action, "--all").status == 24
    assert revoked(new) == []


@pytest.mark.parametrize("version", MODERN)
def test_a_command_without_sense_is_an_error_since_3_0(make: Make, version: str) -> None:
    """It says --all where 2.7 says :all, and destroy for clean."""
    tree = make(version)

    text = "Error: You must provide hosts or --all when using destroy\n"
    assert text == errors(tree.cert("clean"))
    assert tree.cert("clean").status == 24
    assert tree.cert("sign", "--all").status == 24


@pytest.mark.parametrize("version", MODERN)
def test_generate_of_a_name_that_is_taken_fails_since_3_0(make: Make, version: str) -> None:
    """Both texts are those of 2.7."""
    tree = make(version)
    submit(tree, "pending")

    assert errors(tree.cert("generate", "foo")) == "Error: A Certificate already exists for foo\n"
    text = "pending already has a requested certificate; ignoring certificate request"
    assert f"Error: {text}\n" == errors(tree.cert("generate", "pending"))


def test_all_serials_of_a_name_are_revoked_in_the_newest(make: Make) -> None:
    """Also when its certificate is gone."""
    tree = make("5.5.22")
    tree.cert("clean", "foo")
    tree.cert("generate", "foo")
    signed(tree, "foo").unlink()

    tree.cert("revoke", "foo")

    assert revoked(tree) == [2, 2, 3]


def test_colours_differ_since_3_0(make: Make) -> None:
    """A notice has none, but the escapes are there."""
    notice = make("3.8.7").run("cert", "revoke", "foo").stdout

    assert notice == "\x1b[mNotice: Revoked certificate with serial 2\x1b[0m\n"
