"""By which names and addresses this host can be called."""

from __future__ import annotations

import fcntl
import socket
import struct
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from espm_setup.errors import SetupError

_SIOCGIFADDR = 0x8915  # netdevice(7)


def names_and_addresses(name: str | None, more: list[str]) -> tuple[list[str], list[str]]:
    """Return the host names, the main one first, and the addresses for the certificate.

    :param name: the main name; by default what the host calls itself.
    :param more: names and addresses to add.
    :raises espm_setup.errors.SetupError: one of them is neither.
    """
    own = [] if name else [socket.gethostname()]
    given = [name or _main_name(), *more, *(text for text in own if _is_name(text))]
    return sorted_out([*given, *_own_addresses()])


def sorted_out(given: list[str]) -> tuple[list[str], list[str]]:
    """Return which of *given* are host names, at least one, and which are addresses.

    :raises espm_setup.errors.SetupError: one is neither.
    """
    names = [text.lower() for text in given if not _is_address(text)]
    addresses = [str(ip_address(text)) for text in given if _is_address(text)]
    for text in names:
        _check(text)
    return list(dict.fromkeys(names)) or given[:1], list(dict.fromkeys(addresses))


def _main_name() -> str:
    """Return what the host calls itself; some resolvers know it as localhost only."""
    full = socket.getfqdn()
    return socket.gethostname() if full.partition(".")[0] == "localhost" else full


def _own_addresses() -> list[str]:
    """Return the addresses of the network interfaces, without loopback and link-local ones."""
    found = [ip_address(text) for text in (*_ipv4(), *_ipv6())]
    return [str(a) for a in found if not (a.is_loopback or a.is_link_local)]


def _ipv4() -> list[str]:
    result = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # an interface without an IPv4 address
                answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                result.append(socket.inet_ntoa(answer[20:24]))
    return result


def _ipv6() -> list[str]:
    try:
        lines = Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    return [str(IPv6Address(int(line.split()[0], 16))) for line in lines]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_name(text: str) -> bool:
    try:
        _check(text)
    except SetupError:
        return False
    return True


def _check(text: str) -> None:
    labels = text.removesuffix(".").split(".")
    good = all(
        0 < len(label) < 64
        and label.isascii()
        and label.replace("-", "").replace("_", "").replace("*", "").isalnum()
        for label in labels
    )
    if not good or len(text) > 253:
        msg = f"{text!a} is neither a host name nor an IP address"
        raise SetupError(msg)
