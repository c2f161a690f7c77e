"""Who is at the other end of a connection, as one name for all who count, limit and log."""

from __future__ import annotations

import ipaddress


def plain_address(address: str) -> str:
    """Return *address* without a zone, and as IPv4 if it is IPv4 on an IPv6 socket."""
    if ":" not in address:
        return address
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(mapped or ip)


def household(address: str) -> str:
    """Return what counts as one peer: an IPv4 address, or an IPv6 network of 64 bits.

    The host with a single IPv6 address has 2**64 of them to choose from.

    :param address: in the form of :func:`plain_address`.
    """
    if ":" not in address:
        return address
    return str(ipaddress.IPv6Network((address, 64), strict=False))
