"""The stand-in of Puppet 2.7.12 revokes as the real one did (reference facts on it, 1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.legacy.puppet_lab import error, gone, quick_puppet, revoked, said, submit

if TYPE_CHECKING:
    from pathlib import Path

    from tests.legacy.puppet_cert import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A 2.7.12 whose CA is there."""
    return quick_puppet(tmp_path / "puppet", "2.7.12")


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
