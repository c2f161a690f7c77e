"""The directories of a CA on this host: each is tried, and believed to be the CA's for a while.

A directory of another CA, or one whose mount is away, would tell that names are free which are
not, and take CSRs that nobody signs.  So espm puts something there under a name of its own, and
looks whether that is what the CA answers with.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from espm import x509
from espm.errors import BackendError, BackendRefused, causes
from espm.model import HEALING, Certname

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from espm.ca.signed import Signed
    from espm.ca.waiting import Waiting

    Find = Callable[[str, Certname], bytes | None]

T = TypeVar("T")

#: How many seconds it counts that it was the CA's.
HELD = 300.0

#: How many seconds it counts that it was not, for those who have another way.
_FAILED = 10.0

log = logging.getLogger(__name__)


class Proved(Generic[T]):
    """A directory that is used only while it is proved to be the CA's; for any number of threads.

    :param directory: None where there is none to be used.
    :param attempt: returns when it is the CA's; raises :class:`~espm.errors.BackendError` or
        OSError.
    :param key: of the configuration, for the log.
    :ivar tried: when it was the CA's, by the monotonic clock.
    """

    def __init__(self, directory: T | None, attempt: Callable[[T], None], key: str) -> None:
        self.directory = directory
        self.tried = float("-inf")
        self._attempt = attempt
        self._key = key
        self._lock = threading.Lock()
        self._failed = float("-inf")

    def get(self) -> T | None:
        """Return it if it is the CA's, which is tried unless it was lately."""
        with self._lock:
            return self._tried()

    def at_hand(self) -> T | None:
        """Return it as :meth:`get` does, but never wait for another thread, nor try at once again.

        For those who have another way.
        """
        if self._fresh():
            return self.directory
        rests = time.monotonic() - self._failed < _FAILED
        if rests or not self._lock.acquire(blocking=False):
            return None
        try:
            return self._tried()
        finally:
            self._lock.release()

    def refute(self, error: Exception) -> None:
        """Take note that it can't be used, whatever was tried before."""
        log.warning("%s can't be used: %s", self._key, causes(error))
        self._failed, self.tried = time.monotonic(), float("-inf")

    def _fresh(self) -> bool:
        return time.monotonic() - self.tried < HELD

    def _tried(self) -> T | None:
        if self.directory is None or self._fresh():
            return self.directory
        try:
            self._attempt(self.directory)
        except (BackendError, OSError) as error:
            self.refute(error)
            return None
        self.tried = time.monotonic()
        return self.directory


class Directories:
    """Those of signed certificates and of CSRs that wait, as far as espm may write there.

    :param find: returns what the CA answers for a ``certificate`` or ``certificate_request``.
    :param certificate: espm's own at this CA (PEM), to try the first with.
    """

    def __init__(
        self, find: Find, signed: Signed | None, waiting: Waiting | None, certificate: Path
    ) -> None:
        self.signed = Proved(signed, self._try_signed, "[ca] signed_dir")
        self.waiting = Proved(waiting, self._try_waiting, "[ca] requests_dir")
        self._find = find
        self._certificate = certificate

    def _try_signed(self, signed: Signed) -> None:
        """Return when a certificate that is put there is one of the CA's; it is not revoked."""
        signed.sweep()
        own = self._certificate.read_bytes()
        # Another process may try it now.
        label = f"probe{secrets.token_hex(4)}"
        with signed.put_back(own.decode("ascii"), label) as name:
            self._see("certificate", name, own)

    def _try_waiting(self, waiting: Waiting) -> None:
        """Return when a CSR that is put there waits at the CA.  Nobody can sign that one."""
        waiting.sweep()
        name = Certname(f"{HEALING}{secrets.token_hex(4)}")
        csr = x509.unsignable_csr(name)
        waiting.put(name, csr)
        try:
            self._see("certificate_request", name, csr)
        except (BackendError, OSError):
            waiting.leave()
            raise
        finally:
            waiting.take_back(name, csr)

    def _see(self, kind: str, name: Certname, pem: bytes) -> None:
        """Return when the CA answers with what was put into a directory under that name.

        :raises espm.errors.BackendRefused: it does not.
        """
        if (self._find(kind, name) or b"").split() != pem.split():
            msg = "it is not the directory of the CA that answers"
            raise BackendRefused(msg)
