"""The administrator's ini file, read once and turned into values that cannot be wrong.

Everything that is wrong is said at once, a line for each fault, with file, section and key, in
the order of the file.  Nothing else is raised, whatever is in the file.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from espm.config import credential
from espm.config import spec as configspec
from espm.config.file import Faults, hold_to, lines_of, parse, read
from espm.config.guard import certname, guard, readable
from espm.errors import ConfigError
from espm.model import Limits, Platform, PuppetAccess

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from configobj import ConfigObj

#: Files that must be readable, and those among them that must be so for nobody else.
_SECRETS = (("server", "private_key"), ("puppet", "private_key"))
_FILES = (*_SECRETS, ("server", "certificate"), ("puppet", "certificate"), ("puppet", "ca_file"))

#: Keys of ``[puppet]`` without which nobody can call Puppet over HTTPS.
NEEDED = ("url", "certificate", "private_key", "ca_file")

_PLATFORM = r"[a-z0-9][a-z0-9_-]{0,31}"


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Section ``[server]``: where espm listens, with which certificate, for how many."""

    host: str
    port: int
    certificate: str
    private_key: str
    threads: int
    connections: int
    strangers_per_peer: int
    metrics_port: int


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration.

    :ivar ledger_url: may hold a password.
    :ivar certname: the name in espm's client certificate; empty where it has none.
    :ivar confdir: the directory of puppet.conf on this host; empty for the usual one.
    :ivar reserved: certnames that are never a node's: the servers', espm's own, and those that
        the administrator adds.
    :ivar ca_options: section ``[ca]`` and the section of its backend, merged.
    :ivar classes_cache: how many seconds an answer about Puppet's classes is good for.
    :ivar classifier_options: section ``[classifier]`` and that of its backend, merged.
    """

    path: Path
    server: ServerSettings
    platforms: tuple[Platform, ...]
    ledger_url: str = field(repr=False)
    access: PuppetAccess
    certname: str
    reserved: frozenset[str]
    confdir: str
    ca_backend: str
    key_type: str
    ca_options: Mapping[str, Any]
    classifier_backend: str
    check_classes: bool
    classes_cache: float
    classifier_options: Mapping[str, Any]


def load(path: Path, *, keys: bool = True) -> Config:
    """Return the configuration in the file at *path*.

    The files that it names are looked at, too: they must be there, and those that hold secrets
    must be out of others' reach.  Nothing is connected to.

    :param keys: whether a key that only systemd can hand over must be there.
    :raises espm.errors.ConfigError: for every fault at once.
    """
    faults = Faults(path)
    guard(path, (), faults)
    ini = _validated(read(path, faults), faults)
    _check_needed(ini, faults)
    own_name = _check_files(ini, faults)
    if keys:
        _check_credential(ini, faults)
    _check_platforms(ini, faults)
    if found := faults.in_order():
        raise ConfigError(found)
    return _built(path, ini, own_name)


def load_platforms(path: Path) -> tuple[Platform, ...]:
    """Return the platforms in the file at *path*, whatever is wrong with the files it names.

    So a key can be taken away while, say, the server's certificate is being exchanged.

    :raises espm.errors.ConfigError: for every fault of the file itself at once.
    """
    faults = Faults(path)
    guard(path, (), faults)
    return _platforms(read(path, faults), faults)


def platforms_in(content: bytes, path: Path) -> tuple[Platform, ...]:
    """Return the platforms that the file at *path* would have with this *content*.

    :raises espm.errors.ConfigError: for every fault that it would have.
    """
    faults = Faults(path)
    return _platforms(lines_of(content, faults), faults)


def _platforms(lines: Sequence[str], faults: Faults) -> tuple[Platform, ...]:
    ini = _validated(lines, faults)
    _check_platforms(ini, faults)
    if found := faults.in_order():
        raise ConfigError(found)
    return tuple(_platform(*item) for item in _platform_sections(ini))


def _validated(lines: Sequence[str], faults: Faults) -> ConfigObj:
    ini = parse(lines, faults)
    if faults.in_order() and not ini.sections:
        raise ConfigError(faults.in_order())
    chosen = {(port, _chosen(ini, port)) for port in configspec.BACKENDS}
    present = {(port, name) for port, name in configspec.backend_names() if name in ini.sections}
    known = set(configspec.backend_names())
    spec = configspec.specification(sorted((chosen & known) | present))
    unused = {name for _, name in present - chosen}
    hold_to(spec, ini, faults, unused=unused)
    return ini


def _chosen(ini: ConfigObj, port: str) -> str:
    """Return the backend that the file names for *port*, which may be none that there is."""
    section = ini.get(port)
    default = next(iter(configspec.BACKENDS[port]))
    return str(section.get("backend", default)) if isinstance(section, dict) else default


def _check_needed(ini: ConfigObj, faults: Faults) -> None:
    """Note what a chosen backend misses in ``[puppet]``."""
    names = [_chosen(ini, port) for port in ("ca", "classifier")]
    if set(zip(("ca", "classifier"), names, strict=True)) <= set(configspec.backend_names()):
        needed = NEEDED if configspec.needs_puppet(*names) and not faults.lost else ()
        for key in needed:
            if not _value(ini, ("puppet", key)):
                meaning = configspec.meaning(ini.configspec["puppet"], key)
                faults.add(("puppet", key), f"missing. {meaning}")


def _check_files(ini: ConfigObj, faults: Faults) -> str:
    """Note faults of the files that *ini* names; return the certname of espm's certificate."""
    for place in _SECRETS:
        if value := _path(ini, place):
            guard(value, place, faults)
    for place in _FILES:
        if value := _path(ini, place):
            readable(value, place, faults)
    client = _path(ini, ("puppet", "certificate"))
    return certname(client, ("puppet", "certificate"), faults) if client else ""


def _check_credential(ini: ConfigObj, faults: Faults) -> None:
    place = ("server", "private_key")
    if credential.is_credential(value := _value(ini, place)):
        faults.add(place, credential.missing(value))


def _path(ini: ConfigObj, place: tuple[str, str]) -> Path | None:
    value = _value(ini, place)
    return Path(value) if value.startswith("/") else None


def _value(ini: ConfigObj, place: tuple[str, str]) -> str:
    """Return the text at *place*, which is empty when there is none."""
    section = ini.get(place[0])
    value = section.get(place[1]) if isinstance(section, dict) else None
    return value if isinstance(value, str) else ""


def _check_platforms(ini: ConfigObj, faults: Faults) -> None:
    sections = dict(_platform_sections(ini))
    if not sections and not faults.lost:
        faults.add(("platforms", "NAME"), "there is no platform; add [[NAME]] with its psk_sha256")
    uses = Counter(digest for section in sections.values() for digest in _digests(section))
    for name, section in sections.items():
        if not re.fullmatch(_PLATFORM, name, re.ASCII):
            what = "a platform's name has 1 to 32 characters a-z, 0-9, '_', '-', no sign first"
            faults.add(("platforms", name), what)
        if any(uses[digest] > 1 for digest in _digests(section)):
            what = "another platform has the same key; give each its own"
            faults.add(("platforms", name, "psk_sha256"), what)


def _platform_sections(ini: ConfigObj) -> Iterator[tuple[str, Any]]:
    platforms = ini.get("platforms")
    for name in getattr(platforms, "sections", ()):
        yield name, platforms[name]


def _digests(section: Any) -> tuple[str, ...]:
    """Return the digests of a platform's section, if they were valid."""
    value = section.get("psk_sha256")
    return value if isinstance(value, tuple) else ()


def _built(path: Path, ini: ConfigObj, own_name: str) -> Config:
    puppet, ca, classifier = dict(ini["puppet"]), dict(ini["ca"]), dict(ini["classifier"])
    reserved = {own_name, *map(str.lower, puppet.pop("reserved"))}
    puppet["ca_url"] = puppet["ca_url"] or puppet["url"]
    confdir = puppet.pop("confdir")
    reserved |= {urlsplit(puppet[key]).hostname or "" for key in ("url", "ca_url")}
    suits = getattr(configspec.backend("ca", ca["backend"]), "KEY_TYPE", "ec")
    return Config(
        path=path,
        server=ServerSettings(**ini["server"]),
        platforms=tuple(_platform(*item) for item in _platform_sections(ini)),
        ledger_url=ini["ledger"]["url"],
        access=PuppetAccess(**puppet),
        certname=own_name,
        reserved=frozenset(reserved - {""}),
        confdir=confdir,
        ca_backend=ca["backend"],
        key_type=suits if ca["key_type"] == "auto" else ca["key_type"],
        ca_options=_options(ini, ca),
        classifier_backend=classifier["backend"],
        check_classes=classifier["check_classes"],
        classes_cache=classifier["classes_cache"],
        classifier_options=_options(ini, classifier),
    )


def _platform(name: str, section: Any) -> Platform:
    limits = {key: tuple(section[key]) for key in Limits.__slots__}
    return Platform(name, section["psk_sha256"], Limits(**limits), section["old_psk_until"])


def _options(ini: ConfigObj, own: dict[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(own | dict(ini[own["backend"]]))
