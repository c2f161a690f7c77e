"""What a platform may do: the globs and networks of its section, enforced.

Pure functions; every refusal is an :exc:`~espm.errors.OutsideLimits` that names the limit, so
that whoever reads it knows which line of the configuration to ask the administrator about.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

from espm.errors import OutsideLimits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from espm.model import Certname, Classification, Platform


def permit(platform: Platform, certname: Certname, classification: Classification) -> None:
    """Return when *platform* may classify *certname* so.

    :raises espm.errors.OutsideLimits: it may not; names the limit and the value.
    """
    limits = platform.limits
    _each(platform, "certnames", limits.certnames, [certname])
    _each(platform, "groups", limits.groups, classification.groups)
    _each(platform, "classes", limits.classes, classification.classes)
    if classification.environment is not None:
        permit_environment(platform, classification.environment)


def permit_environment(platform: Platform, environment: str) -> None:
    """Return when nodes of *platform* may be in *environment*.

    :raises espm.errors.OutsideLimits: they may not.
    """
    _each(platform, "environments", platform.limits.environments, [environment])


def permit_peer(platform: Platform, peer: str) -> None:
    """Return when *platform* may call from the address *peer*.

    An IPv4 address that came in on an IPv6 socket counts as the IPv4 address it is.

    :raises espm.errors.OutsideLimits: it may not.
    """
    networks = platform.limits.networks
    if "*" in networks:
        return
    address = ip_address(peer)
    addresses = [address]
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        addresses.append(address.ipv4_mapped)
    known = [ip_network(network, strict=False) for network in networks]
    if not any(each in network for network in known for each in addresses):
        _refuse(platform, "networks", peer)


def _each(platform: Platform, limit: str, globs: tuple[str, ...], values: Iterable[str]) -> None:
    for value in values:
        if not allows(value, globs):
            _refuse(platform, limit, value)


def allows(value: str, globs: Iterable[str]) -> bool:
    """Return whether one of *globs* is for *value*."""
    return any(fnmatchcase(value, glob) for glob in globs)


def _refuse(platform: Platform, limit: str, value: str) -> None:
    msg = f"'{value}' is outside the limit '{limit}' of the platform '{platform.name}'"
    raise OutsideLimits(msg)
