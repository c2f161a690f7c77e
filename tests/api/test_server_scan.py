"""TLS as a scanner sees it: every version and every cipher that OpenSSL has is tried.

The server runs with the kind of certificate that espm_setup makes, and with one of RSA as an
administrator may bring it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from espm import x509
from espm.server.connections import Server, ServerLimits
from tests.api.wire import connect, read_all, serving
from tests.conftest import absent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALL = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"
REFUSED_VERSION = "alert protocol version"
NO_CIPHER = "handshake failure"

GOOD = {
    "ec": {
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    },
    "rsa": {
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-CHACHA20-POLY1305",
    },
}
GOOD_13 = {"TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"}


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer ok."""
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


@dataclass
class Target:
    """A server to scan.

    :ivar kind: of its key.
    """

    kind: str
    server: Server
    certificate: Path
    openssl: str

    def scan(self, *options: str, say: str = "Q\n") -> str:
        """Return all that ``openssl s_client`` prints."""
        host, port = self.server.bind_addr
        ran = subprocess.run(
            [self.openssl, "s_client", "-connect", f"{host}:{port}", "-CAfile",
             str(self.certificate), *options],
            check=False, input=say, capture_output=True, text=True, timeout=20,
        )  # fmt: skip
        return ran.stdout + ran.stderr


def chosen(text: str) -> str | None:
    """Return the cipher of a handshake that succeeded."""
    found = re.search(r"^New, TLSv1\.[23], Cipher is (\S+)$", text, re.MULTILINE)
    return found and found[1]


@pytest.fixture(scope="module", params=GOOD)
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    """A running server, with each kind of key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        absent("openssl is not installed")
    directory = tmp_path_factory.mktemp("scan")
    pair = directory / "server.pem", directory / "server.key"
    key = x509.new_key(request.param)
    pair[0].write_bytes(x509.self_signed(key, ["espm.example.com"], ["127.0.0.1"], days=10))
    pair[1].write_bytes(x509.key_pem(key))
    limits = ServerLimits(threads=2, strangers_per_peer=100)
    with serving(application, (str(pair[0]), str(pair[1])), limits) as server:
        yield Target(request.param, server, pair[0], openssl)


def test_only_good_ciphers_are_taken(target: Target) -> None:
    """Of all ciphers that OpenSSL has, TLS 1.2 takes those with ECDHE and GCM or ChaCha20."""
    taken: set[str] = set()
    offer = ALL
    while cipher := chosen(text := target.scan("-tls1_2", "-cipher", offer)):
        taken.add(cipher)
        offer = ":".join((ALL, *(f"!{each}" for each in taken)))

    assert NO_CIPHER in text
    assert taken == GOOD[target.kind]


def test_nothing_else_is_taken_when_it_is_all_there_is(target: Target) -> None:
    """Every other cipher alone is refused, the export, null and anonymous ones included."""
    listed = subprocess.run(
        [target.openssl, "ciphers", "-tls1_2", "-s", ALL],
        check=True, capture_output=True, text=True,
    ).stdout.strip().split(":")  # fmt: skip
    others = [name for name in listed if name not in GOOD[target.kind]]
    # What needs a shared password or another kind of certificate can't even be offered alone.
    ours = [name for name in others if "PSK" not in name and "SRP" not in name]
    taken = [
        name for name in ours if chosen(target.scan("-tls1_2", "-cipher", f"{name}:@SECLEVEL=0"))
    ]

    assert len(ours) > 50
    assert taken == []


@pytest.mark.parametrize(
    "suite", sorted(GOOD_13 | {"TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"})
)
def test_the_suites_of_tls_1_3(target: Target, suite: str) -> None:
    """TLS 1.3 has only good ones; the shortened tags of CCM are not taken."""
    found = chosen(target.scan("-tls1_3", "-ciphersuites", suite))

    assert found == (suite if suite in GOOD_13 else None)


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused(target: Target, version: str) -> None:
    """TLS 1.0 and 1.1 end with the alert that says so, whatever ciphers come with them."""
    text = target.scan(version, "-cipher", ALL)

    assert REFUSED_VERSION in text
    assert chosen(text) is None


@pytest.mark.parametrize(
    ("minor", "alert"), [(0, 40), (1, 70), (2, 70)], ids=["SSL 3.0", "TLS 1.0", "TLS 1.1"]
)
def test_older_hellos_are_refused(target: Target, minor: int, alert: int) -> None:
    """A hello that no OpenSSL of today sends any more gets a fatal alert."""
    ciphers = b"\x00\x0a\x00\x05\x00\x2f\xc0\x13"
    body = bytes([3, minor]) + b"r" * 32 + b"\0" + len(ciphers).to_bytes(2) + ciphers + b"\1\0"
    hello = b"\x01" + len(body).to_bytes(3) + body
    with connect(target.server) as sock:
        sock.sendall(bytes([22, 3, minor]) + len(hello).to_bytes(2) + hello)
        answer = sock.recv(100)

    assert answer[:1] == b"\x15"
    assert list(answer[-2:]) == [2, alert]


def test_a_hello_of_ssl_2_is_refused(target: Target) -> None:
    """There is no way from SSL 2.0 upwards."""
    hello = b"\x01\x00\x02\x00\x03\x00\x00\x00\x10\x07\x00\xc0" + b"c" * 16
    with connect(target.server) as sock:
        sock.sendall((0x8000 | len(hello)).to_bytes(2) + hello)
        answer = read_all(sock)

    # An alert, or the end; no ServerHello of any version.
    assert answer.removesuffix(b"<cut>")[:1] in {b"", b"\x15"}


def test_nobody_is_talked_down_to_an_older_version(target: Target) -> None:
    """A client that comes back with less than it can is refused (RFC 7507)."""
    text = target.scan("-tls1_2", "-fallback_scsv")

    assert "inappropriate fallback" in text
    assert chosen(text) is None


def test_renegotiation_is_refused(target: Target) -> None:
    """A client cannot make the server work for nothing on one connection."""
    text = target.scan("-tls1_2", say="R\n")

    assert "RENEGOTIATING" in text
    assert "no renegotiation" in text


def test_nothing_is_compressed(target: Target) -> None:
    """Sizes tell nothing about a key that comes again and again."""
    text = target.scan("-tls1_2", "-comp")

    assert chosen(text)
    assert "Compression: NONE" in text


def test_no_request_comes_before_the_handshake_is_over(target: Target) -> None:
    """Early data of TLS 1.3 can be played again by others."""
    text = target.scan("-tls1_3", say="k\nQ\n")

    assert chosen(text)
    assert re.findall(r"Max Early Data: (\d+)", text) in ([], ["0"] * text.count("Max Early Data"))


@pytest.mark.parametrize(
    "options",
    [
        ("-sigalgs", "ECDSA+SHA1:RSA+SHA1"),
        ("-groups", "P-192"),
        ("-groups", "P-224"),
    ],
    ids=" ".join,
)
def test_weak_signatures_and_curves_are_refused(target: Target, options: tuple[str, str]) -> None:
    """The exchange of keys is as strong as the ciphers."""
    text = target.scan("-tls1_2", "-cipher", ALL, *options)

    assert NO_CIPHER in text
    assert chosen(text) is None


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_strict_client_is_content(target: Target, version: str) -> None:
    """Key and signature of the certificate have 128 bits of strength, and its form is right."""
    text = target.scan(
        version, "-cipher", "DEFAULT:@SECLEVEL=3", "-verify_return_error", "-x509_strict",
        "-verify_ip", "127.0.0.1",
    )  # fmt: skip

    assert chosen(text)
    assert "Verification: OK" in text
    assert "Peer signing digest: SHA256" in text
