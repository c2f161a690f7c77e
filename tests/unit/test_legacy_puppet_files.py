"""The stand-in of old Puppet keeps the files of the real one (reference facts on it, 1.4)."""

from __future__ import annotations

import re
import stat
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from tests.legacy.puppet_lab import fingerprint, quick_puppet, revoked, said, signed
from tests.legacy.puppet_x509 import read_crl, read_key

if TYPE_CHECKING:
    from pathlib import Path

    from tests.legacy.puppet_cert import Tree

INVENTORY = re.compile(r"0x000[12] \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dUTC \d{4}-\S+UTC /CN=.+")


def modes(tree: Tree) -> dict[str, str]:
    """Return the mode of each file and directory under the ssldir, by its path."""
    return {
        str(path.relative_to(tree.ssldir)): stat.filemode(path.stat().st_mode)
        for path in (tree.ssldir, *tree.ssldir.rglob("*"))
    }


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A 2.7.12 that generated foo."""
    tree = quick_puppet(tmp_path / "puppet", "2.7.12")
    tree.cert("generate", "foo")
    return tree


def test_generate_leaves_these_files(tree: Tree) -> None:
    """Each with its mode, the node's private key among them."""
    assert modes(tree) == {
        ".": "drwxrwx--x",
        "ca": "drwxrwx---",
        "ca/ca_key.pem": "-rw-rw----",
        "ca/private": "drwxrwx---",
        "ca/private/ca.pass": "-rw-rw----",
        "ca/ca_crt.pem": "-rw-rw----",
        "ca/ca_crl.pem": "-rw-rw-r--",
        "ca/serial": "-rw-r--r--",
        "ca/inventory.txt": "-rw-r--r--",
        "ca/requests": "drwxr-xr-x",
        "ca/signed": "drwxrwx---",
        "ca/signed/foo.pem": "-rw-r-----",
        "certs": "drwxr-xr-x",
        "certs/ca.pem": "-rw-r-----",
        "certs/foo.pem": "-rw-r-----",
        "private_keys": "drwxr-x---",
        "private_keys/foo.pem": "-rw-r-----",
        "public_keys": "drwxr-xr-x",
        "public_keys/foo.pem": "-rw-r-----",
        "certificate_requests": "drwxr-xr-x",
    }


def test_the_newest_lets_others_read(tmp_path: Path) -> None:
    """Certificates and the CA's directory, but no key."""
    tree = quick_puppet(tmp_path / "puppet", "5.5.22")
    tree.cert("generate", "foo")
    found = modes(tree)

    assert {"drwxr-xr-x"} == {found[name] for name in ("ca", "ca/signed")}
    readable = ("ca/ca_crt.pem", "ca/signed/foo.pem", "certs/foo.pem")
    assert {"-rw-r--r--"} == {found[name] for name in readable}
    assert (found["ca/ca_key.pem"], found["private_keys/foo.pem"]) == ("-rw-rw----", "-rw-r-----")


def test_the_serial_has_four_digits_and_no_newline(tree: Tree) -> None:
    """It is the next one, in hexadecimal."""
    serial = tree.ssldir / "ca" / "serial"
    assert serial.read_bytes() == b"0003"
    serial.write_text("00FF")

    tree.cert("generate", "bar")

    assert serial.read_bytes() == b"0100"


def test_the_inventory_has_a_header_up_to_2_7(tree: Tree, tmp_path: Path) -> None:
    """Then one line for each certificate, and 3.8.7 has nothing else."""
    lines = (tree.ssldir / "ca" / "inventory.txt").read_text().splitlines()
    newer = quick_puppet(tmp_path / "newer", "3.8.7")

    assert [line.startswith("# ") for line in lines] == [True, True, False, False]
    assert all(INVENTORY.fullmatch(line) for line in lines[2:])
    newer_lines = (newer.ssldir / "ca" / "inventory.txt").read_text().splitlines()
    assert [INVENTORY.fullmatch(line) is not None for line in newer_lines] == [True]


def test_the_files_are_real(tree: Tree) -> None:
    """The CA signed the certificate, of which the key is there, and the CRL."""
    ca = x509.load_pem_x509_certificate((tree.ssldir / "ca" / "ca_crt.pem").read_bytes())
    certificate = x509.load_pem_x509_certificate(signed(tree, "foo").read_bytes())
    key = read_key(tree.ssldir / "private_keys" / "foo.pem")
    crl = read_crl(tree.ssldir / "ca" / "ca_crl.pem")

    certificate.verify_directly_issued_by(ca)
    assert certificate.public_key() == key.public_key()
    assert crl.is_signature_valid(ca.public_key())  # type: ignore[arg-type]
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert lifetime == timedelta(days=5 * 365 + 1)
    assert ca.subject.rfc4514_string() == "CN=Puppet CA: master.example.com"


def test_the_first_ca_key_is_not_encrypted(tree: Tree) -> None:
    """The password, of 20 letters, came too late for it."""
    assert "ENCRYPTED" not in (tree.ssldir / "ca" / "ca_key.pem").read_text()
    assert len((tree.ssldir / "ca" / "private" / "ca.pass").read_text()) == 20


def test_each_entry_of_the_crl_says_that_a_key_was_compromised(tree: Tree) -> None:
    """And the CRL's number counts up."""
    tree.cert("revoke", "foo")

    crl = read_crl(tree.ssldir / "ca" / "ca_crl.pem")
    reasons = [each.extensions.get_extension_for_class(x509.CRLReason).value for each in crl]
    assert [x509.CRLReason(x509.ReasonFlags.key_compromise)] == reasons
    number = crl.extensions.get_extension_for_class(x509.CRLNumber).value
    assert (revoked(tree), number.crl_number) == ([2], 1)


def test_options_say_where_the_ca_is(tree: Tree, tmp_path: Path) -> None:
    """The ssldir is under the confdir unless an option or puppet.conf puts it elsewhere."""
    asked = ("master", "--configprint", "ssldir", "--confdir")
    other = tmp_path / "other"
    other.mkdir()

    assert f"{other}/ssl\n" == tree.run(*asked, str(other)).stdout
    (other / "puppet.conf").write_text("[main]\n  ssldir = $confdir/tls\n  certname = ca1\n")
    assert f"{other}/tls\n" == tree.run(*asked, str(other)).stdout
    assert tree.run(*asked, str(other), "--ssldir=/x").stdout == "/x\n"


def test_several_settings_are_printed_as_assignments(tree: Tree) -> None:
    """A name that is no setting exits with 1."""
    text = f"ssldir = {tree.ssldir}\ncertname = master.example.com\n"

    assert text == tree.run("master", "--configprint", "ssldir,certname").stdout
    assert tree.run("master", "--configprint", "bogus").status == 1


def test_config_print_is_there_since_3_0(tree: Tree, tmp_path: Path) -> None:
    """It takes the section as an option."""
    newer = quick_puppet(tmp_path / "newer", "3.8.7")
    asked = ("config", "print", "ssldir", "--section", "master")

    assert f"{newer.ssldir}\n" == newer.run(*asked).stdout
    assert tree.run(*asked).status == 1


def test_the_ca_is_where_puppet_conf_has_it(tree: Tree) -> None:
    """It need not be below the ssldir; the command looks nowhere else."""
    before = tree.cert("fingerprint", "ca")
    (tree.confdir / "puppet.conf").write_text("[main]\n  cadir = $confdir/authority\n")
    tree.cert("list")
    after = tree.cert("fingerprint", "ca")

    path = tree.confdir / "authority" / "ca_crt.pem"
    assert (before, after) == (
        said(f"ca {fingerprint(tree.ssldir / 'ca' / 'ca_crt.pem')}"),
        said(f"ca {fingerprint(path)}"),
    )
    assert before != after
