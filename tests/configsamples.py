"""A configuration that is right, for tests that make one thing wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "0123456789abcdef" * 4
OTHER_DIGEST = "fedcba9876543210" * 4


@cache
def identities() -> tuple[bytes, bytes, bytes]:
    """Return CA bundle, client certificate and its key (PEM) of ``espm.example.com``."""
    ca = trustme.CA()
    leaf = ca.issue_cert("espm.example.com", common_name="espm.example.com")
    pem = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    return ca.cert_pem.bytes(), pem, leaf.private_key_pem.bytes()


@dataclass
class Sample:
    """An ini file in the making, and the files that it names."""

    directory: Path
    sections: dict[str, dict[str, str]] = field(default_factory=dict)
    platforms: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def make(cls, directory: Path) -> Sample:
        """Write the files that it names to *directory* and return the sample."""
        sample = cls(directory)
        bundle, certificate, key = identities()
        (directory / "ca.pem").write_bytes(bundle)
        for stem in ("server", "puppet"):
            (directory / f"{stem}.pem").write_bytes(certificate)
            (directory / f"{stem}.key").write_bytes(key)
            (directory / f"{stem}.key").chmod(0o640)
        sample.set("server", **sample._pair("server"))
        sample.platform(psk_sha256=DIGEST)
        sample.set("puppet", url="https://puppet.example.com:8140", **sample._pair("puppet"))
        sample.set("puppet", ca_file=str(directory / "ca.pem"))
        return sample

    @property
    def server_key(self) -> Path:
        """The server's private key."""
        return self.directory / "server.key"

    @property
    def puppet_key(self) -> Path:
        """The private key of the client certificate."""
        return self.directory / "puppet.key"

    @property
    def puppet_certificate(self) -> Path:
        """The client certificate."""
        return self.directory / "puppet.pem"

    def set(self, section: str, **keys: str) -> None:
        """Set *keys* of *section*."""
        if section == "puppet" and "platforms" not in self.sections:
            self.sections["platforms"] = {}
        self.sections.setdefault(section, {}).update(keys)

    def platform(self, name: str = "cloud", **keys: str) -> None:
        """Set *keys* of the platform *name*."""
        self.platforms.setdefault(name, {}).update(keys)

    def drop(self, section: str, key: str | None = None) -> None:
        """Leave out a whole section, or one key of it."""
        if key is None:
            del self.sections[section]
        else:
            del self.sections[section][key]

    def write(self) -> Path:
        """Write the ini file, readable for nobody else, and return its path."""
        path = self.directory / "espm.ini"
        path.write_text("\n".join(self._lines()) + "\n")
        path.chmod(0o600)
        return path

    def _lines(self) -> list[str]:
        lines = []
        for section, keys in self.sections.items():
            lines += [f"[{section}]", *(f"{key} = {value}" for key, value in keys.items())]
            for name, limits in self.platforms.items() if section == "platforms" else ():
                lines += [f"[[{name}]]", *(f"{key} = {value}" for key, value in limits.items())]
        return lines

    def _pair(self, stem: str) -> dict[str, str]:
        return {
            "certificate": str(self.directory / f"{stem}.pem"),
            "private_key": str(self.directory / f"{stem}.key"),
        }
