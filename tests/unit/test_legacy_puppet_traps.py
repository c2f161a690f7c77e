"""The stand-in of old Puppet has its traps (reference facts on old Puppet, 1.5)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from cryptography import x509

from tests.legacy.puppet_cert import Said
from tests.legacy.puppet_files import Files
from tests.legacy.puppet_lab import (
    error,
    gone,
    quick_puppet,
    revoked,
    said,
    serial,
    signed,
    submit,
)
from tests.legacy.puppet_x509 import read_key

if TYPE_CHECKING:
    from pathlib import Path

    from tests.legacy.puppet_cert import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A 2.7.12 with one certificate, of serial 2."""
    tree = quick_puppet(tmp_path / "puppet", "2.7.12")
    tree.cert("generate", "foo")
    return tree


def test_trap_1_a_name_is_an_expression_that_revokes_the_ca(tree: Tree) -> None:
    """The first line of the inventory is the CA's own, and then nothing is valid any more."""
    assert said("notice: Revoked certificate with serial 1") == tree.cert("revoke", ".*")
    assert revoked(tree) == [1]
    listed = tree.cert("list", "--all").stdout
    assert listed.startswith("- foo (")
    assert listed.endswith(" (certificate revoked)\n")


def test_trap_1_a_dot_in_a_name_revokes_another(tree: Tree) -> None:
    """It matches any letter, so a name of which there is no file is never safe."""
    tree.cert("generate", "dotx.example.com")

    tree.cert("revoke", "dot..example.com")

    assert [serial(tree, "dotx.example.com")] == revoked(tree)


def test_trap_1_the_newest_revokes_every_match(tmp_path: Path) -> None:
    """5.5.22 takes all lines that match, the CA's own among them."""
    tree = quick_puppet(tmp_path / "puppet", "5.5.22")
    tree.cert("generate", "foo", "bar")

    tree.cert("revoke", ".*")

    assert revoked(tree) == [1, 2, 3]


def test_trap_1_a_file_of_that_name_is_looked_at_first(tree: Tree) -> None:
    """So names with a certificate are safe."""
    tree.cert("generate", "fo.")

    tree.cert("revoke", "fo.")

    assert [serial(tree, "fo.")] == revoked(tree)


def test_trap_2_without_a_file_the_oldest_serial_is_revoked(tree: Tree) -> None:
    """The newer certificate of that name stays valid."""
    tree.cert("clean", "foo")
    tree.cert("generate", "foo")
    signed(tree, "foo").unlink()

    assert said("notice: Revoked certificate with serial 2") == tree.cert("revoke", "foo")
    assert revoked(tree) == [2, 2]


def test_trap_3_clean_of_several_deletes_what_it_did_not_revoke(tree: Tree) -> None:
    """After one name that was never seen, the rest goes without a revocation."""
    tree.cert("generate", "a", "b", "c")

    answer = tree.cert("clean", "a", "x", "b", "c")

    places = (("Certificate", "ca/signed"), ("Certificate", "certs"), ("Key", "private_keys"))
    assert answer == said(
        "notice: Revoked certificate with serial 3",
        "err: Could not call revoke: Could not find a serial number for x",
        *(gone(tree, model, name, place) for name in "abc" for model, place in places),
    )
    assert revoked(tree) == [3]


def test_trap_4_a_missing_serial_starts_again_at_1(tree: Tree) -> None:
    """Silently, so that two certificates have the same serial."""
    (tree.ssldir / "ca" / "serial").unlink()

    tree.cert("generate", "bar")
    tree.cert("generate", "baz")

    assert (serial(tree, "bar"), serial(tree, "baz")) == (1, 2)
    assert serial(tree, "foo") == serial(tree, "baz")


def test_trap_4_a_missing_crl_is_made_anew_and_empty(tree: Tree) -> None:
    """Silently, so that what was revoked is valid again."""
    tree.cert("revoke", "foo")
    (tree.ssldir / "ca" / "ca_crl.pem").unlink()

    assert tree.cert("list", "--all").stdout.startswith("+ foo (")
    assert revoked(tree) == []


def test_trap_4_a_missing_inventory_is_rebuilt_from_what_is_there(tree: Tree) -> None:
    """What was cleaned is forgotten."""
    tree.cert("generate", "bar")
    tree.cert("clean", "foo")
    (tree.ssldir / "ca" / "inventory.txt").unlink()

    answer = tree.cert("generate", "baz")

    assert "notice: Rebuilding inventory file" in answer.stdout.splitlines()
    lines = (tree.ssldir / "ca" / "inventory.txt").read_text().splitlines()
    assert [line[:2] if line.startswith("#") else line.split()[-1] for line in lines] == [
        "# ",
        "# ",
        "/CN=bar",
        "/CN=baz",
    ]
    assert error("revoke", "Could not find a serial number for foo") == tree.cert("revoke", "foo")


def test_trap_4_the_newest_starts_with_an_empty_inventory(tmp_path: Path) -> None:
    """5.5.22 forgets also what is still there."""
    tree = quick_puppet(tmp_path / "puppet", "5.5.22")
    tree.cert("generate", "foo")
    (tree.ssldir / "ca" / "inventory.txt").unlink()

    tree.cert("generate", "bar")

    lines = (tree.ssldir / "ca" / "inventory.txt").read_text().splitlines()
    assert [line.split()[-1] for line in lines] == ["/CN=bar"]


def test_trap_4_a_missing_ca_key_is_replaced_before_it_is_missed(tree: Tree) -> None:
    """The new one is encrypted, and the command exits with 23, as does each one after it."""
    key = tree.ssldir / "ca" / "ca_key.pem"
    key.unlink()

    assert [tree.cert("list").status, tree.cert("list").status] == [23, 23]
    assert "ENCRYPTED" in key.read_text()


def test_a_ca_that_cannot_be_read_is_broken(tree: Tree) -> None:
    """Each command exits with 23, whatever it is."""
    (tree.ssldir / "ca" / "ca_crt.pem").write_text("gone\n")

    assert Said(23, "PEM_read_bio_X509: no start line\n", "") == tree.cert("revoke", "foo")


def test_who_may_not_look_gets_23(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line counts the failures, and nothing is on stderr."""
    denied = PermissionError(errno.EACCES, "Permission denied", str(tree.ssldir / "ca"))
    monkeypatch.setattr(Files, "make", Mock(side_effect=denied))

    answer = tree.cert("list")

    assert (answer.status, answer.stderr) == (23, "")
    assert answer.stdout.startswith(f"warning: /File[{tree.ssldir}/ca]: Could not stat; ")
    assert answer.stdout.splitlines()[-1].startswith("Got 3 failure(s) while initializing: ")


def test_trap_5_a_left_over_key_is_used_again(tree: Tree) -> None:
    """Silently, by generate."""
    path = tree.ssldir / "private_keys" / "bar.pem"
    path.write_bytes((tree.ssldir / "private_keys" / "foo.pem").read_bytes())

    tree.cert("generate", "bar")

    certificate = x509.load_pem_x509_certificate(signed(tree, "bar").read_bytes())
    assert read_key(path).public_key() == certificate.public_key()
    assert not (tree.ssldir / "public_keys" / "bar.pem").exists()


def test_trap_6_a_revoked_name_can_be_generated_after_clean(tree: Tree) -> None:
    """Not before."""
    tree.cert("revoke", "foo")

    assert error("generate", "A Certificate already exists for foo") == tree.cert("generate", "foo")
    tree.cert("clean", "foo")
    tree.cert("generate", "foo")
    assert serial(tree, "foo") == 3


def test_trap_7_a_left_serial_tmp_stops_signing(tree: Tree) -> None:
    """The CSR stays behind, and the status is 0."""
    (tree.ssldir / "ca" / "serial.tmp").touch()
    text = (
        f".tmp file already exists for {tree.ssldir}/ca/serial; Aborting locked write. "
        "Check the .tmp file and delete if appropriate"
    )

    waiting = "notice: bar has a waiting certificate request"
    assert said(waiting, f"err: Could not call generate: {text}") == tree.cert("generate", "bar")
    assert error("sign", text) == tree.cert("sign", "bar")


@pytest.mark.parametrize("action", ["clean", "revoke"])
def test_all_without_the_end_of_options_is_everybody(tree: Tree, action: str) -> None:
    """A name like that revokes every certificate."""
    tree.cert("generate", "bar")

    tree.cert(action, "--all")

    assert {2, 3} == set(revoked(tree))
    assert (action == "revoke") == signed(tree, "foo").exists()


def test_all_after_the_end_of_options_is_a_name(tree: Tree) -> None:
    """Nobody has it."""
    text = "Could not find a serial number for --all"

    assert error("revoke", text) == tree.cert("clean", "--", "--all")
    assert revoked(tree) == []


def test_a_bad_csr_blinds_sign_all_as_well(tree: Tree) -> None:
    """The good ones are not signed either."""
    submit(tree, "good")
    (tree.ssldir / "ca" / "requests" / "bad.pem").write_text("not a CSR\n")

    assert error("sign", "PEM_read_bio_X509_REQ: no start line") == tree.cert("sign", "--all")
    assert not signed(tree, "good").exists()


def test_a_csr_with_a_newline_in_its_name_breaks_the_list(tree: Tree) -> None:
    """Bare names are not escaped, so one entry is two lines."""
    submit(tree, "evil\n+ fake")

    assert [line.partition(" (")[0] for line in tree.cert("list").stdout.splitlines()] == [
        "  evil",
        "+ fake",
    ]
