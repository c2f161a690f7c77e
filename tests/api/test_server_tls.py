"""TLS as espm offers it: modern only, its files changeable while it runs."""

from __future__ import annotations

import ssl
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from espm.errors import ConfigError
from espm.server.connections import Server, ServerLimits
from espm.server.tls import build_context
from espm.x509 import key_pem, self_signed
from tests.api.wire import (
    GET,
    ask,
    connect,
    read_all,
    read_answer,
    secure,
    serving,
    trusting,
    write_pair,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import trustme


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer ok."""
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str, trustme.CA]:
    """Make a certificate, its key, and who issued it."""
    return write_pair(tmp_path)


@pytest.fixture
def server(pair: tuple[str, str, trustme.CA]) -> Iterator[Server]:
    """Start a server on that certificate."""
    with serving(application, pair[:2], ServerLimits(threads=2)) as server:
        yield server


def test_a_new_context_serves_new_connections_only(
    server: Server, pair: tuple[str, str, trustme.CA], tmp_path: Path
) -> None:
    """SIGHUP with a new certificate drops nobody."""
    (tmp_path / "new").mkdir()
    certificate, key, new_ca = write_pair(tmp_path / "new")
    with secure(server, trusting(pair[2])) as old:
        old.sendall(GET)
        read_answer(old)
        server.ssl_adapter.context = build_context(certificate, key)

        assert ask(server, trusting(new_ca)) == (200, b"ok")
        old.sendall(GET)
        assert read_answer(old) == (200, b"ok")
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(server, trusting(pair[2]))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_tls_is_refused(
    server: Server, pair: tuple[str, str, trustme.CA], version: ssl.TLSVersion
) -> None:
    """TLS 1.0 and 1.1 are not spoken (RFC 8996)."""
    client = trusting(pair[2])
    with warnings.catch_warnings(action="ignore"):
        client.minimum_version = client.maximum_version = version
    client.set_ciphers("ALL:@SECLEVEL=0")

    with pytest.raises(ssl.SSLError, match=r"VERSION|version"):
        ask(server, client)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_modern_tls_has_modern_ciphers(
    server: Server, pair: tuple[str, str, trustme.CA], version: ssl.TLSVersion
) -> None:
    """Whatever is negotiated encrypts and authenticates in one."""
    client = trusting(pair[2])
    client.minimum_version = client.maximum_version = version
    with secure(server, client) as sock:
        cipher = sock.cipher()
        sock.sendall(GET)

        assert read_answer(sock) == (200, b"ok")
        assert cipher is not None
        assert any(kind in cipher[0] for kind in ("GCM", "CHACHA20"))
        assert sock.compression() is None


def test_a_cbc_cipher_is_refused(server: Server, pair: tuple[str, str, trustme.CA]) -> None:
    """Ciphers with a padding to attack are not offered."""
    client = trusting(pair[2])
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ECDHE+AES+SHA256:ECDHE+AES+SHA384:!AESGCM:!AESCCM")

    with pytest.raises(ssl.SSLError, match=r"(?i)handshake"):
        ask(server, client)


def test_plain_http_is_told_to_use_https(server: Server) -> None:
    """A mistyped URL gets an answer that says what is wrong."""
    with connect(server) as sock:
        sock.sendall(GET)

        assert b"This port speaks HTTPS only." in read_all(sock)


def test_a_missing_file_is_named(pair: tuple[str, str, trustme.CA]) -> None:
    """Both files are looked at before the first fault is reported."""
    with pytest.raises(ConfigError) as caught:
        build_context("/nowhere/a.pem", "/nowhere/a.key")

    assert caught.value.faults == (
        "[server] certificate: cannot read /nowhere/a.pem: No such file or directory",
        "[server] private_key: cannot read /nowhere/a.key: No such file or directory",
    )


def test_a_key_of_another_certificate_is_refused(
    pair: tuple[str, str, trustme.CA], tmp_path: Path
) -> None:
    """A half done renewal is seen at once, not by the clients."""
    (tmp_path / "new").mkdir()
    _, other, _ = write_pair(tmp_path / "new")

    with pytest.raises(ConfigError, match="is not the key of"):
        build_context(pair[0], other)


def test_a_file_of_something_else_is_refused(
    pair: tuple[str, str, trustme.CA], tmp_path: Path
) -> None:
    """The message says which of the two files is wrong."""
    junk = tmp_path / "junk"
    junk.write_text("junk\n")

    with pytest.raises(ConfigError, match=r"certificate: .* holds no PEM certificate"):
        build_context(str(junk), pair[1])
    with pytest.raises(ConfigError, match=r"private_key: .* no unencrypted PEM private key"):
        build_context(pair[0], str(junk))


def test_a_weak_key_is_refused(tmp_path: Path) -> None:
    """RSA with 1024 bits can be broken; the message says so, whatever OpenSSL's own level is."""
    pair = tmp_path / "weak.pem", tmp_path / "weak.key"
    key = rsa.generate_private_key(65537, 1024)
    pair[0].write_bytes(self_signed(key, ["espm.example.com"]))
    pair[1].write_bytes(key_pem(key))

    with pytest.raises(ConfigError, match="is too weak; make one with EC P-256"):
        build_context(str(pair[0]), str(pair[1]))


def test_an_encrypted_key_is_refused(pair: tuple[str, str, trustme.CA], tmp_path: Path) -> None:
    """A daemon cannot be asked for a password."""
    with open(pair[1], "rb") as file:  # noqa: PTH123 - a path as the config has it
        key = load_pem_private_key(file.read(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    )

    with pytest.raises(ConfigError, match="no unencrypted PEM private key"):
        build_context(pair[0], str(locked))
