"""TLS as espm offers it, and cheroot's way to it.

cheroot's own adapters do the handshake in the thread that accepts connections, so one client that
connects and says nothing stops everybody for ``server.timeout`` seconds (cheroot issue 748).
:class:`Adapter` wraps a socket without a handshake; :mod:`espm.server.exchange` does it, step by
step.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from espm.errors import ConfigError

if TYPE_CHECKING:
    import socket

# Forward secrecy and authenticated encryption only; TLS 1.3's suites are always on.  The level
# (keys of RSA 2048 or EC 224 bits, no SHA-1) is OpenSSL's own default in some versions only.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"


def build_context(certificate: str, private_key: str) -> ssl.SSLContext:
    """Return a server's context: TLS 1.2 and later, no compression, no renegotiation.

    :param certificate: path of the certificate (PEM), intermediates behind it.
    :param private_key: path of its key (PEM), not encrypted.
    :raises espm.errors.ConfigError: a file can't be read or used, or the two do not fit.
    """
    _check_readable(certificate, private_key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Without a password OpenSSL would ask for one on the terminal; an empty one is none.
        context.load_cert_chain(certificate, private_key, password="")  # nosec B106
    except (ssl.SSLError, ValueError) as exc:
        raise ConfigError([_diagnose(exc, certificate, private_key)]) from exc
    return context


def _check_readable(certificate: str, private_key: str) -> None:
    faults = []
    for key, path in (("certificate", certificate), ("private_key", private_key)):
        try:
            Path(path).read_bytes()
        except OSError as exc:
            faults.append(f"[server] {key}: cannot read {path}: {exc.strerror}")
    if faults:
        raise ConfigError(faults)


def _diagnose(error: Exception, certificate: str, private_key: str) -> str:
    """Return which file is to blame; OpenSSL says only ``PEM lib`` for most faults."""
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return f"[server] private_key: {private_key} is not the key of {certificate}"
    if getattr(error, "reason", None) in {"EE_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"}:
        return (
            f"[server] certificate: the key or the signature of {certificate} is too weak; "
            "make one with EC P-256 or RSA 3072, and SHA-256"
        )
    try:
        x509.load_pem_x509_certificates(Path(certificate).read_bytes())
    except ValueError:
        return f"[server] certificate: {certificate} holds no PEM certificate"
    return f"[server] private_key: {private_key} holds no unencrypted PEM private key"


class Adapter:
    """Wraps accepted sockets; no byte is read or written before the caller asks for it.

    :ivar context: serves the connections to come; may be replaced while the server runs.  Loading
        another certificate into a live context would not do: OpenSSL keeps one per key type and
        prefers as it likes.  Connections that are open keep the context they began with.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context

    def bind(self, sock: socket.socket) -> socket.socket:
        """Return the listening socket as it is; cheroot asks for it."""
        return sock

    def wrap(self, sock: socket.socket) -> ssl.SSLSocket:
        """Return a TLS socket whose handshake has not begun.

        :raises OSError: the client is gone already.
        """
        return self.context.wrap_socket(
            sock, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
        )
