"""The settings of one command: what its options, puppet.conf and the test's file say."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.legacy.puppet_versions import Traits

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The file by which a test says how the stand-in behaves.
FILE = "stand_in.json"
DEFAULTS: dict[str, Any] = {
    "version": "2.7.12",
    "delay": 0.0,
    "crl_gap": 0.0,
    "key_gap": 0.0,
    "keylength": 2048,
    "die_at": "",
}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "y": 365 * 86400}
_FIVE_YEARS = "5y"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a command goes by.

    :ivar directory: where the test's file is.
    :ivar told: what that file says.
    :ivar puppet: Puppet's own settings, by name.
    """

    directory: Path
    told: dict[str, Any]
    puppet: dict[str, str]

    @property
    def traits(self) -> Traits:
        """The version's traits."""
        return Traits(self.told["version"])

    @property
    def certname(self) -> str:
        """The name of the CA's host."""
        return self.puppet["certname"]

    @property
    def keylength(self) -> int:
        """Bits of a key; Puppet takes 4096 unless told, the stand-in fewer, for speed."""
        return int(self.puppet["keylength"])

    @property
    def crl_gap(self) -> float:
        """Seconds between reading and writing the CRL."""
        return float(self.told["crl_gap"])

    @property
    def key_gap(self) -> float:
        """Seconds between seeing that a host has no key and writing one."""
        return float(self.told["key_gap"])

    @property
    def lifetime(self) -> timedelta:
        """How long a certificate is valid from now on; seconds unless it has a unit."""
        number, unit = self.puppet["ca_ttl"][:-1], self.puppet["ca_ttl"][-1]
        if unit in _UNITS:
            return timedelta(seconds=int(number) * _UNITS[unit])
        return timedelta(seconds=int(number + unit))

    def reached(self, point: str) -> None:
        """Die here as by SIGKILL, once, if the test wants it."""
        if self.told["die_at"] == point:
            save(self.directory, {**self.told, "die_at": ""})
            os.kill(os.getpid(), signal.SIGKILL)


def load(directory: Path) -> dict[str, Any]:
    """Return what the test's file says."""
    return {**DEFAULTS, **json.loads((directory / FILE).read_text())}


def save(directory: Path, told: Mapping[str, Any]) -> None:
    """Write the test's file; a command sees the old one or the new one."""
    aside = directory / f"{FILE}.{os.getpid()}"
    aside.write_text(json.dumps(dict(told), indent=1))
    aside.rename(directory / FILE)


def settings(directory: Path, told: dict[str, Any], options: Mapping[str, str]) -> Settings:
    """Return the settings of a command: options first, then puppet.conf, then the defaults."""
    confdir = options.get("confdir", str(directory / "puppet"))
    keylength = str(told["keylength"])
    found = {"certname": "master.example.com", "keylength": keylength, "ca_ttl": _FIVE_YEARS}
    found |= {"vardir": str(directory / "var"), "ssldir": f"{confdir}/ssl", "confdir": confdir}
    found |= {"user": "puppet", "group": "puppet"}
    found |= _puppet_conf(Path(confdir) / "puppet.conf")
    found |= options
    cadir = found.get("cadir", f"{found['ssldir']}/ca")
    return Settings(directory, told, found | _places(found["ssldir"], cadir))


def _puppet_conf(path: Path) -> dict[str, str]:
    """Return the assignments in puppet.conf, whatever their section; $confdir is filled in."""
    if not path.exists():
        return {}
    lines = [line.partition("=") for line in path.read_text().splitlines()]
    confdir = str(path.parent)
    return {
        key.strip(): value.strip().replace("$confdir", confdir)
        for key, equals, value in lines
        if equals and not key.lstrip().startswith("#")
    }


def _places(ssldir: str, ca: str) -> dict[str, str]:
    return {
        "cadir": ca,
        "cacert": f"{ca}/ca_crt.pem",
        "cakey": f"{ca}/ca_key.pem",
        "cacrl": f"{ca}/ca_crl.pem",
        "serial": f"{ca}/serial",
        "cert_inventory": f"{ca}/inventory.txt",
        "csrdir": f"{ca}/requests",
        "signeddir": f"{ca}/signed",
        "certdir": f"{ssldir}/certs",
        "privatekeydir": f"{ssldir}/private_keys",
        "publickeydir": f"{ssldir}/public_keys",
        "requestdir": f"{ssldir}/certificate_requests",
        "localcacert": f"{ssldir}/certs/ca.pem",
    }
