"""Addresses: one form for each, and what counts as one peer."""

from __future__ import annotations

import pytest

from espm.peer import household, plain_address


@pytest.mark.parametrize(
    ("address", "plain"),
    [("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("fe80::1%eth0", "fe80::1")],
)
def test_an_address_has_one_form(address: str, plain: str) -> None:
    """The same peer is counted, limited and logged under one name."""
    assert plain == plain_address(address)


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
    ],
)
def test_a_network_of_ipv6_is_one_peer(address: str, peer: str) -> None:
    """Who has one IPv6 address has a whole network of them."""
    assert peer == household(address)
