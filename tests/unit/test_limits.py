"""What a platform may do."""

from __future__ import annotations

import pytest

from espm import limits
from espm.errors import OutsideLimits
from espm.model import Certname, Classification, Limits, Platform

NAME = Certname("web-1.example.com")


def _platform(**allowed: tuple[str, ...]) -> Platform:
    return Platform("cloud", (), Limits(**allowed))


@pytest.mark.parametrize(
    ("limit", "globs", "said", "value"),
    [
        ("certnames", ("db-*",), Classification(), NAME),
        ("certnames", (), Classification(), NAME),
        ("groups", ("web",), Classification(groups=("web", "db")), "db"),
        ("classes", ("profile::*",), Classification(classes={"ntp": {}}), "ntp"),
        ("classes", ("NTP",), Classification(classes={"ntp": {}}), "ntp"),
        ("environments", ("prod*",), Classification(environment="staging"), "staging"),
    ],
)
def test_what_is_outside_is_named(
    limit: str, globs: tuple[str, ...], said: Classification, value: str
) -> None:
    """The refusal says which limit of which platform, and which value."""
    with pytest.raises(OutsideLimits) as caught:
        limits.permit(_platform(**{limit: globs}), NAME, said)

    assert str(caught.value) == f"'{value}' is outside the limit '{limit}' of the platform 'cloud'"


def test_what_is_inside_passes() -> None:
    """Any of a limit's globs is enough, and nothing said needs no permission."""
    platform = _platform(
        certnames=("db-*", "web-?.example.com"), groups=("web",), classes=("profile::*",)
    )
    said = Classification("production", ("web",), {"profile::a::b": {}}, {"any": "thing"})
    limits.permit(platform, NAME, said)
    limits.permit(_platform(groups=(), classes=(), environments=()), NAME, Classification())


@pytest.mark.parametrize(
    ("networks", "peer", "inside"),
    [
        (("*",), "not an address", True),
        (("10.0.0.0/8", "192.0.2.7"), "192.0.2.7", True),
        (("10.0.0.1/8",), "10.9.9.9", True),
        (("10.0.0.0/8",), "11.0.0.1", False),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("10.0.0.0/8",), "::ffff:11.1.2.3", False),
        (("2001:db8::/32",), "2001:db8::1", True),
        (("2001:db8::/32",), "10.0.0.1", False),
        ((), "10.0.0.1", False),
    ],
)
def test_a_peer_is_in_one_of_the_networks_or_not(
    networks: tuple[str, ...], peer: str, *, inside: bool
) -> None:
    """Both address families count, and an IPv4 address inside an IPv6 one is what it is."""
    found = True
    try:
        limits.permit_peer(_platform(networks=networks), peer)
    except OutsideLimits:
        found = False

    assert inside == found
