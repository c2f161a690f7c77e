"""Who calls us, and how we call Puppet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Limits:
    """What a platform may do; each a tuple of globs, ``networks`` of CIDRs.

    ``*`` as a network means every address.
    """

    certnames: tuple[str, ...] = ("*",)
    groups: tuple[str, ...] = ("*",)
    classes: tuple[str, ...] = ("*",)
    environments: tuple[str, ...] = ("production",)
    networks: tuple[str, ...] = ("*",)
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Platform:
    """A cloud platform that may call us.

    :ivar psk_sha256: the SHA-256 digests (lower-case hex) of its one or two preshared keys.
    :ivar old_psk_until: when all of them but the first end; None when they never do.
    """

    name: str
    psk_sha256: tuple[str, ...] = field(repr=False, default=())
    limits: Limits = field(default_factory=Limits)
    old_psk_until: datetime | None = None

    def accepts(self, position: int, now: datetime) -> bool:
        """Return whether the key at *position* of :attr:`psk_sha256` is good *now*."""
        return position == 0 or self.old_psk_until is None or now < self.old_psk_until


@dataclass(frozen=True, slots=True)
class PuppetAccess:
    """How espm reaches Puppet over HTTPS.

    :ivar url: the compile server, ``https://host:8140``.
    :ivar ca_url: the CA server; often the same.
    :ivar certificate: path of espm's own client certificate (PEM), "" for none.
    :ivar private_key: path of its key (PEM).
    :ivar ca_file: path of the CA bundle that vouches for Puppet's servers (PEM).
    :ivar timeout: seconds that one call may take as a whole.
    """

    url: str
    ca_url: str
    certificate: str
    private_key: str
    ca_file: str
    timeout: float = 60.0
