"""What ``puppet cert`` does to who trusts it, and what becomes of it behind the helper.

Each test is named after a trap (reference facts on old Puppet, 1.1, 1.5 and 1.6).
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509 as cx509

from espm import x509
from espm.errors import (
    BackendError,
    BackendRefused,
    BackendSilent,
    BackendUnavailable,
    CertnameTaken,
    CsrPending,
    EspmError,
    InvalidCertname,
)
from espm.model import Certname, Issued
from espm.ports import Generating
from tests.api.wire import wait_until
from tests.legacy.old_ca import OldCa, old_ca
from tests.legacy.puppet_lab import revoked, serial, submit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from espm.ca.puppet_cert import PuppetCert

pytestmark = pytest.mark.slow

VERSIONS = ("2.7.12", "5.5.22")
WEB = Certname("web1.example.com")


@pytest.fixture(params=VERSIONS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> OldCa:
    """Return the oldest and the newest one in turn."""
    return old_ca(tmp_path, request.param)


@pytest.fixture
def pe25(tmp_path: Path) -> OldCa:
    """Return the Puppet of Puppet Enterprise 2.5."""
    return old_ca(tmp_path, "2.7.12")


def order(ca: PuppetCert, name: str = WEB) -> Issued:
    """Have a new key's CSR signed."""
    ca.submit(Certname(name), x509.new_csr(Certname(name), x509.new_key("rsa")))
    return x509.parse_certificate(ca.sign(Certname(name)).pem)


def unchecked(name: str) -> Any:
    """Return a name that nothing of espm would take, as if it had."""
    return name


def at_once(work: Callable[[Any], object], things: list[Any]) -> None:
    """Do *work* for all *things* at the same time; what it raises fails the test."""
    errors: list[Exception] = []

    def guarded(thing: Any) -> None:
        try:
            work(thing)
        except Exception as error:  # noqa: BLE001 - it is looked at below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=[thing]) for thing in things]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.parametrize("hostile", [".*", "--all", "dot..example.com", "-a", "../web1", "ca"])
def test_trap_1_a_name_that_is_a_pattern_or_an_option_ends_nobody(old: OldCa, hostile: str) -> None:
    """Neither the API's names, nor the adapter, nor the helper lets it through to Puppet."""
    ca = old.connect()
    for name in ("dotx.example.com", WEB):
        order(ca, name)
    before = len(old.ruby())
    with pytest.raises(InvalidCertname):
        Certname(hostile)
    for action in (ca.revoke, ca.clean_all):
        with suppress(EspmError):
            action([unchecked(hostile)])
        with suppress(EspmError):
            action([WEB, unchecked(hostile)])

    assert {argv[-1] for argv in old.ruby()[before:]} <= {WEB}
    assert serial(old.tree, "dotx.example.com") not in revoked(old.tree)
    assert 1 not in revoked(old.tree)


def test_trap_1_is_there_without_the_helper(pe25: OldCa) -> None:
    """Puppet 2.7.12 itself revokes its own CA, so that the test above can fail."""
    pe25.tree.cert("revoke", "--", ".*")

    assert revoked(pe25.tree) == [1]


def test_a_certificate_that_was_exchanged_since_the_look_is_not_ended(old: OldCa) -> None:
    """Somebody else's may be in its place; only who looks again may end that."""
    ca = old.connect()
    order(ca)
    old.ca.joinpath("signed", f"{WEB}.pem").unlink()
    theirs = order(old.connect())
    ends: list[Callable[[], None]] = [
        lambda: ca.revoke([WEB]),
        lambda: ca.clean_all([WEB]),
        lambda: ca.clean(WEB),
    ]
    for end in ends:
        with pytest.raises(BackendUnavailable, match="another certificate of web1"):
            end()

    assert revoked(old.tree) == []
    assert x509.parse_certificate(ca.certificate(WEB) or b"") == theirs
    ca.revoke([WEB])
    assert revoked(old.tree) == [theirs.serial]


def test_trap_2_the_newer_certificate_of_a_name_is_the_one_revoked(pe25: OldCa) -> None:
    """By its file, without which Puppet would revoke the oldest; that one is healed by itself."""
    ca = pe25.connect()
    first = order(ca)
    pe25.ca.joinpath("signed", f"{WEB}.pem").unlink()
    second = order(ca)
    ca.revoke([WEB])
    assert revoked(pe25.tree) == [second.serial]

    ca.heal(WEB, first)
    assert revoked(pe25.tree) == [second.serial, first.serial]


def test_trap_3_cleaning_many_never_removes_what_is_not_revoked(old: OldCa) -> None:
    """One name that the CA never had would stop it in the middle; 2.7.12 is told one at a time."""
    ca = old.connect()
    names = [Certname(f"n{number}.example.com") for number in range(3)]
    serials = {order(ca, name).serial for name in names}
    ca.clean_all([names[0], Certname("never.example.com"), *names[1:]])

    assert serials <= set(revoked(old.tree))
    assert ca.can_clean() is (old.tree.version != "2.7.12")


@pytest.mark.parametrize("name", ["serial", "ca_crl.pem", "inventory.txt", "ca_key.pem"])
def test_trap_4_a_missing_file_is_not_made_anew(old: OldCa, name: str) -> None:
    """Serials would begin at 1 again, revoked certificates be valid again."""
    ca = old.connect()
    order(ca)
    old.ca.joinpath(name).unlink()
    before = len(old.ruby())
    other = Certname("web2.example.com")
    ca.submit(other, x509.new_csr(other, x509.new_key("rsa")))
    for action in (lambda: ca.sign(other), lambda: ca.revoke([WEB])):
        with pytest.raises(BackendRefused, match="Puppet's files"):
            action()

    assert (len(old.ruby()), old.ca.joinpath(name).exists()) == (before, False)


def test_trap_5_a_left_over_key_is_not_taken_for_ours(old: OldCa) -> None:
    """generate would use it without a word."""
    ca = old.connect(native_generate=True)
    assert isinstance(ca, Generating)
    path = old.tree.ssldir / "private_keys" / f"{WEB}.pem"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(x509.key_pem(x509.new_key("rsa")))
    with pytest.raises(CertnameTaken):
        ca.generate(WEB, x509.key_pem(x509.new_key("rsa")))

    assert (path.exists(), old.ruby("generate")) == (True, [])


def test_trap_5_is_how_our_own_key_gets_its_certificate(old: OldCa) -> None:
    """It is the certificate's, and no file has it afterwards."""
    ca = old.connect(native_generate=True)
    assert isinstance(ca, Generating)
    key = x509.new_key("rsa")
    pem, by_us = ca.generate(WEB, x509.key_pem(key))

    assert by_us
    assert x509.parse_certificate(pem).key_sha256 == x509.key_sha256(key.public_key())
    names = ("private_keys", "public_keys", "certs", "certificate_requests")
    left = [path for name in names for path in old.tree.ssldir.joinpath(name).glob("*")]
    assert [path.name for path in left if WEB in path.name] == []
    with pytest.raises(CertnameTaken):
        ca.generate(WEB, x509.key_pem(key))


def test_trap_6_a_revoked_name_is_taken_until_it_is_cleaned(old: OldCa) -> None:
    """The same as with a certificate in force."""
    ca = old.connect(native_generate=True)
    assert isinstance(ca, Generating)
    order(ca)
    ca.revoke([WEB])
    with pytest.raises(CertnameTaken):
        ca.generate(WEB, x509.key_pem(x509.new_key("rsa")))
    with pytest.raises(CertnameTaken):
        order(ca)
    ca.clean(WEB)

    assert ca.generate(WEB, x509.key_pem(x509.new_key("rsa")))


def test_trap_7_what_a_killed_generate_leaves_is_found_and_removed(old: OldCa) -> None:
    """The CSR has our key, as the ledger knows it; the key goes with it."""
    ca = old.connect(native_generate=True)
    assert isinstance(ca, Generating)
    key = x509.new_key("rsa")
    old.tree.tell(die_at="csr")
    with pytest.raises(BackendError):
        ca.generate(WEB, x509.key_pem(key))
    waiting = ca.request(WEB)

    assert x509.csr_key_sha256(waiting or b"") == x509.key_sha256(key.public_key())
    with pytest.raises(CsrPending):
        ca.generate(WEB, x509.key_pem(key))
    ca.withdraw(WEB)
    assert ca.generate(WEB, x509.key_pem(key))


def test_trap_7_a_stale_serial_tmp_stops_nobody(pe25: OldCa) -> None:
    """A young one may be in use: that can be tried again; after a minute it is removed."""
    ca = pe25.connect()
    pe25.tree.tell(die_at="serial")
    with pytest.raises(BackendError):
        order(ca)
    left = pe25.ca / "serial.tmp"
    assert left.exists()
    with pytest.raises(BackendUnavailable):
        ca.sign(WEB)
    os.utime(left, (time.time() - 120,) * 2)

    assert ca.sign(WEB)


def test_trap_8_the_master_is_told_of_a_new_crl(pe25: OldCa) -> None:
    """Once for a batch, behind the back of whoever revokes; a failure is tried at the next one."""
    told = pe25.tree.directory / "told"
    after = pe25.tree.directory / "bin" / "after"
    after.write_text(f"#!/bin/sh\nsleep 0.3\necho told >> {told}\nexit 1\n")
    after.chmod(0o755)
    pe25.settings(after_revoke=after)
    ca = pe25.connect()
    names = [Certname(f"n{number}.example.com") for number in range(4)]
    for name in names:
        order(ca, name)
    ca.revoke(names[:3])
    assert not told.exists()
    assert wait_until(lambda: told.exists() and told.read_text() == "told\n", 20)
    ca.clean(names[0])  # In the CRL since then, so there is nothing to tell.
    ca.revoke(names[3:])
    assert wait_until(lambda: told.read_text() == "told\ntold\n", 20)

    time.sleep(0.5)
    assert told.read_text() == "told\ntold\n"


def test_an_exit_code_of_0_is_not_believed(pe25: OldCa) -> None:
    """2.7.12 refuses alternative names with success; the one beside it is signed all the same."""
    ca = pe25.connect()
    submit(pe25.tree, "san.example.com", sans=[cx509.DNSName("alt.example.com")])
    ca.submit(WEB, x509.new_csr(WEB, x509.new_key("rsa")))
    done: dict[str, object] = {}

    def sign(name: str) -> None:
        try:
            done[name] = ca.sign(Certname(name)).pem
        except EspmError as error:
            done[name] = str(error)

    at_once(sign, ["san.example.com", WEB])

    assert "alternative names" in str(done["san.example.com"])
    assert x509.parse_certificate(ca.certificate(WEB) or b"")


def test_a_csr_under_another_name_is_not_signed(pe25: OldCa) -> None:
    """2.7.12 would give its name to a certificate that is stored under ours."""
    submit(pe25.tree, WEB, cn="master.example.com")
    with pytest.raises(BackendRefused):
        pe25.connect().sign(WEB)

    assert pe25.ruby("sign") == []


def test_a_csr_that_cannot_be_read_blinds_only_its_name(old: OldCa) -> None:
    """list shows nothing then; we look at files."""
    old.ca.joinpath("requests", "bad.example.com.pem").write_text("")
    ca = old.connect()
    order(ca)

    assert ca.request(Certname("bad.example.com")) is None


def test_a_revocation_that_puppet_only_said_is_missed_and_healed(old: OldCa) -> None:
    """It died between its words and the CRL; the CRL is what counts."""
    ca = old.connect()
    issued = order(ca)
    old.tree.tell(die_at="revoked")
    with suppress(BackendError):
        ca.revoke([WEB])
    assert issued.serial not in revoked(old.tree)
    ca.heal(WEB, issued)

    assert issued.serial in revoked(old.tree)


def test_a_puppet_that_hangs_is_silent(pe25: OldCa) -> None:
    """The helper kills it, and the next command does not wait for it."""
    text = pe25.helper.read_text().replace("least=60 ", "least=1 ")
    pe25.helper.write_text(text)
    pe25.settings(limit=1)
    ca = pe25.connect()
    ca.submit(WEB, x509.new_csr(WEB, x509.new_key("rsa")))
    pe25.tree.tell(delay=30.0)
    with pytest.raises(BackendSilent):
        ca.sign(WEB)
    pe25.tree.tell(delay=0.0)
    pe25.settings()

    assert ca.sign(WEB)


def test_16_revocations_8_at_a_time_are_all_in_the_crl(old: OldCa) -> None:
    """Two espm side by side share the lock; Puppet alone loses a third of them."""
    espms = [old.connect(), old.connect()]
    names = [Certname(f"n{number}.example.com") for number in range(16)]
    at_once(lambda name: order(espms[0], name), [*names])
    old.tree.tell(crl_gap=0.05)
    for batch in (names[:8], names[8:]):
        at_once(lambda name: espms[int(name[1:].split(".")[0]) % 2].revoke([name]), [*batch])

    assert {serial(old.tree, name) for name in names} <= set(revoked(old.tree))


@pytest.mark.timing
def test_without_the_lock_some_of_them_are_lost(pe25: OldCa) -> None:
    """So that the test above can fail."""
    names = [f"n{number}.example.com" for number in range(8)]
    ca = pe25.connect()
    at_once(lambda name: order(ca, name), [*names])
    pe25.tree.tell(crl_gap=0.3)
    at_once(lambda name: pe25.tree.cert("revoke", "--", name), [*names])

    assert len(set(revoked(pe25.tree))) < 8
