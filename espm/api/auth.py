"""Who calls: the preshared key, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

from espm import limits
from espm.api.failures import Failures
from espm.api.faults import AuthenticationNeeded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from espm.model import Platform

log = logging.getLogger(__name__)


class Keyring:
    """The platforms and the digests of their keys; replaced whole at a reload.

    :ivar failures: the failed authentications, which a reload does not forget.
    """

    def __init__(self, platforms: Sequence[Platform], failures: Failures | None = None) -> None:
        self._platforms = tuple(platforms)
        self.failures = Failures() if failures is None else failures

    def replace(self, platforms: Sequence[Platform]) -> None:
        """Let *platforms* call from now on, and nobody else."""
        self._platforms = tuple(platforms)

    def authenticate(self, authorization: str, peer: str) -> Platform:
        """Return the platform whose key came in the header *authorization*.

        The keys are 256 random bits and more, so their plain SHA-256 is what is kept.  All
        digests are compared, whichever matches, so that time tells nothing.

        :param authorization: the header's value, decoded as Latin-1; empty when absent.
        :raises espm.errors.Unauthenticated: no platform has that key.
        :raises espm.api.faults.TooManyFailures: the same, and too often.
        :raises espm.errors.OutsideLimits: it has, but may not call from *peer*.
        """
        scheme, _, key = authorization.partition(" ")
        digest = hashlib.sha256(key.strip().encode("latin-1", "replace")).hexdigest().encode()
        found, ended = self._holder(digest)
        if found is None or scheme.lower() != "bearer":
            self._refuse(peer, ended)
        limits.permit_peer(found, peer)
        return found

    def _holder(self, digest: bytes) -> tuple[Platform | None, Platform | None]:
        """Return the platform that has the key, and the one that had it until its end."""
        now = datetime.now(UTC)
        has = had = None
        for platform in self._platforms:
            for position, known in enumerate(platform.psk_sha256):
                if hmac.compare_digest(known.encode(), digest):
                    good = platform.accepts(position, now)
                    has, had = (platform, None) if good else (None, platform)
        return has, had

    def _refuse(self, peer: str, ended: Platform | None) -> NoReturn:
        self.failures.note(peer)
        # fail2ban reads this line: etc/fail2ban/filter.d/espm.conf.
        log.warning("authentication failed from %s", peer)
        if ended:
            since = ended.old_psk_until
            log.warning("that was the old key of platform %s, over since %s", ended.name, since)
        raise AuthenticationNeeded
