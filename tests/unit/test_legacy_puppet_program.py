"""The stand-in of old Puppet is a program: started, killed, and several at a time."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from tests.legacy.puppet_cert import Tree, legacy_puppet
from tests.legacy.puppet_lab import error, quick_puppet, revoked, serial, signed
from tests.legacy.puppet_x509 import read_key

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A 2.7.12 in a directory whose name has a space."""
    return quick_puppet(tmp_path / "old puppet", "2.7.12")


def start(tree: Tree, *arguments: str) -> subprocess.Popen[bytes]:
    """Start the program as a helper would: without environment, from another directory."""
    argv = [str(tree.program), "cert", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, env={}, cwd="/", stdout=pipe, stderr=pipe)


def finish(*processes: subprocess.Popen[bytes]) -> list[str]:
    """Return what they said on stdout."""
    return [process.communicate()[0].decode() for process in processes]


def test_it_needs_no_environment(tree: Tree) -> None:
    """It says what it says within a process of ours."""
    assert finish(start(tree, "list", "--color=false", "x")) == [
        "err: Could not call list: Could not find a certificate for x\n"
    ]


def test_names_need_not_be_utf_8(tree: Tree) -> None:
    """They come back as they are."""
    argv = [bytes(tree.program), b"cert", b"revoke", b"--color=false", b"\xff"]
    output = subprocess.run(argv, env={}, cwd="/", capture_output=True, check=True)

    assert output.stdout == b"err: Could not call revoke: Could not find a serial number for \xff\n"


def test_starts_are_counted(tree: Tree) -> None:
    """With arguments, times and exit status, those within our own process too."""
    finish(start(tree, "bogus"))

    made, last = tree.commands()
    assert made.argv == ["cert", "list", "--color=false"]
    assert (last.argv, last.status) == (["cert", "bogus"], 24)
    assert last.end is not None
    assert made.start < last.start < last.end


@pytest.mark.timing
def test_a_delay_can_be_told(tmp_path: Path) -> None:
    """Each command takes at least that long, and it can be changed on the way."""
    tree = legacy_puppet(tmp_path / "puppet", "2.7.12", delay=0.2)

    begun = time.monotonic()
    tree.run("--version")
    assert time.monotonic() - begun > 0.2
    tree.tell(delay=0.0)
    begun = time.monotonic()
    tree.run("--version")
    assert time.monotonic() - begun < 0.2


def test_nothing_else_can_be_told(tree: Tree) -> None:
    """A misspelt word is no setting."""
    with pytest.raises(AssertionError, match="dealy"):
        tree.tell(dealy=1)


def test_trap_7_a_crash_before_signing_leaves_a_csr_that_blocks(tree: Tree) -> None:
    """Sign completes it, with the key that was left."""
    tree.tell(die_at="csr")
    process = start(tree, "generate", "--color=false", "foo")
    assert finish(process) == ["notice: foo has a waiting certificate request\n"]
    assert process.returncode == -9
    assert tree.commands()[-1].end is None

    text = "foo already has a requested certificate; ignoring certificate request"
    assert error("generate", text) == tree.cert("generate", "foo")
    tree.cert("sign", "foo")
    certificate = x509.load_pem_x509_certificate(signed(tree, "foo").read_bytes())
    key = read_key(tree.ssldir / "private_keys" / "foo.pem")
    assert certificate.public_key() == key.public_key()
    assert not (tree.ssldir / "certs" / "foo.pem").exists()


def test_trap_7_a_crash_before_signing_can_be_cleaned(tree: Tree) -> None:
    """Then generate works again."""
    tree.tell(die_at="csr")
    finish(start(tree, "generate", "foo"))

    tree.cert("clean", "foo")
    tree.cert("generate", "foo")

    assert signed(tree, "foo").exists()


@pytest.mark.parametrize(
    ("point", "left", "missing"),
    [
        ("serial", "ca/serial.tmp", "ca/signed/foo.pem"),
        ("inventory", "ca/requests/foo.pem", "ca/signed/foo.pem"),
        ("signed", "ca/signed/foo.pem", "certs/foo.pem"),
    ],
)
def test_it_can_be_killed_on_the_way(tree: Tree, point: str, left: str, missing: str) -> None:
    """What it did so far is there, and the rest is not."""
    tree.tell(die_at=point)
    finish(start(tree, "generate", "foo"))

    assert (tree.ssldir / left).exists()
    assert not (tree.ssldir / missing).exists()


def test_a_crash_while_revoking_leaves_the_certificate_valid(tree: Tree) -> None:
    """Although it said that it is revoked."""
    tree.cert("generate", "foo")
    tree.tell(die_at="revoked")

    said = finish(start(tree, "revoke", "--color=false", "foo"))

    assert (said, revoked(tree)) == (["notice: Revoked certificate with serial 2\n"], [])


@pytest.mark.timing
def test_revocations_at_the_same_time_get_lost(tree: Tree) -> None:
    """Each command says that it revoked (reference facts on old Puppet, 1.6)."""
    names = ("a", "b", "c")
    tree.cert("generate", *names)
    # They may start seconds apart on a busy machine, and must meet all the same.
    tree.tell(crl_gap=1.5)

    said = finish(*(start(tree, "revoke", "--color=false", name) for name in names))

    assert said == [f"notice: Revoked certificate with serial {n}\n" for n in (2, 3, 4)]
    assert len(revoked(tree)) < 3


def test_revocations_one_after_the_other_are_kept(tree: Tree) -> None:
    """So it is a matter of a lock around them."""
    tree.cert("generate", "a", "b")

    finish(start(tree, "revoke", "a"))
    finish(start(tree, "revoke", "b"))

    assert revoked(tree) == [2, 3]


@pytest.mark.timing
def test_serials_at_the_same_time_are_not_given_twice(tree: Tree) -> None:
    """They are taken under a lock, and the inventory has all of them."""
    names = [f"n{n}" for n in range(4)]

    finish(*(start(tree, "generate", name) for name in names))

    assert sorted(serial(tree, name) for name in names) == [2, 3, 4, 5]
    assert len((tree.ssldir / "ca" / "inventory.txt").read_text().splitlines()) == 2 + 1 + 4
    assert (tree.ssldir / "ca" / "serial").read_text() == "0006"


@pytest.mark.timing
def test_the_same_name_at_the_same_time_is_issued_once(tree: Tree) -> None:
    """The second is told so, in one of three ways, and may leave its own key behind."""
    tree.tell(key_gap=1.5)

    said = finish(*(start(tree, "generate", "--color=false", "foo") for _ in range(2)))

    assert sorted("Signed certificate request for foo" in text for text in said) == [False, True]
    assert sorted(text.count("err: Could not call generate: ") for text in said) == [0, 1]
    refusal = min(said, key=len)
    assert "already exists" in refusal or "; ignoring certificate request" in refusal
    assert (tree.ssldir / "ca" / "serial").read_text() == "0003"
