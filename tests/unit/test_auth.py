"""The keyring: who calls, found out in a time that tells nothing."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from espm.api.auth import Keyring
from espm.errors import OutsideLimits, Unauthenticated
from espm.model import Limits, Platform

KEYS = {"one": ("a1", "a2"), "two": ("b1",), "three": ("c1", "c2")}


def _platform(name: str, keys: tuple[str, ...], **limits: tuple[str, ...]) -> Platform:
    digests = tuple(hashlib.sha256(key.encode()).hexdigest() for key in keys)
    return Platform(name, digests, Limits(**limits))


KEYRING = Keyring([_platform(name, keys) for name, keys in KEYS.items()])


@pytest.mark.parametrize("key", ["a1", "b1", "c2", "wrong", ""])
def test_every_digest_is_compared_whichever_matches(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """The work done is the same for each key, known or not, first or last."""
    compared = []
    real = hmac.compare_digest

    def counting(known: bytes, given: bytes) -> bool:
        compared.append((known, given))
        return real(known, given)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    try:
        KEYRING.authenticate(f"Bearer {key}", "192.0.2.1")
    except Unauthenticated:
        assert key in {"wrong", ""}
    digest = hashlib.sha256(key.encode()).hexdigest().encode()

    assert [given for _, given in compared] == [digest] * 5
    assert len({known for known, _ in compared}) == 5


@pytest.mark.parametrize("name", KEYS)
def test_each_of_a_platforms_keys_is_its_own(name: str) -> None:
    """Both keys of a platform that changes them are good, in any spelling of the scheme."""
    found = {
        KEYRING.authenticate(f"{scheme} {key}", "192.0.2.1").name
        for key in KEYS[name]
        for scheme in ("Bearer", "bearer", "BEARER")
    }

    assert found == {name}


@pytest.mark.parametrize("header", ["", "a1", "Basic a1", "Bearer", "Bearer a1 a1", "a1 Bearer"])
def test_everything_else_is_nobody(header: str) -> None:
    """A good key without its scheme is as good as none."""
    with pytest.raises(Unauthenticated):
        KEYRING.authenticate(header, "192.0.2.1")


def test_a_digest_is_no_key() -> None:
    """Who reads the configuration cannot call with what stands there."""
    with pytest.raises(Unauthenticated):
        KEYRING.authenticate(f"Bearer {hashlib.sha256(b'a1').hexdigest()}", "192.0.2.1")


def test_a_good_key_from_elsewhere_is_refused_by_its_limit() -> None:
    """The network is looked at once the key is known, so a stranger learns nothing of it."""
    keyring = Keyring([_platform("far", ("k",), networks=("10.0.0.0/8",))])
    with pytest.raises(OutsideLimits, match="networks"):
        keyring.authenticate("Bearer k", "192.0.2.1")
    with pytest.raises(Unauthenticated):
        keyring.authenticate("Bearer x", "192.0.2.1")

    assert keyring.authenticate("Bearer k", "10.1.2.3").name == "far"


def _rotated(ends_in: float) -> Keyring:
    until = datetime.now(UTC) + timedelta(seconds=ends_in)
    return Keyring([replace(_platform("one", ("new", "old")), old_psk_until=until)])


def test_the_old_key_is_refused_once_its_time_is_over() -> None:
    """Before that both are good; the new one stays so; nothing has to be read anew."""
    assert _rotated(60).authenticate("Bearer old", "192.0.2.1").name == "one"
    assert _rotated(-1).authenticate("Bearer new", "192.0.2.1").name == "one"
    with pytest.raises(Unauthenticated):
        _rotated(-1).authenticate("Bearer old", "192.0.2.1")


def test_who_still_comes_with_an_ended_key_is_named_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The administrator learns why a platform is refused since a certain moment."""
    with pytest.raises(Unauthenticated):
        _rotated(-1).authenticate("Bearer old", "192.0.2.1")

    assert "that was the old key of platform one, over since 2" in caplog.text
    assert "authentication failed from 192.0.2.1" in caplog.messages


def test_keys_are_exchanged_whole() -> None:
    """After a reload only the new platforms call."""
    keyring = Keyring([_platform("old", ("o",))])
    keyring.replace([_platform("new", ("n",))])
    with pytest.raises(Unauthenticated):
        keyring.authenticate("Bearer o", "192.0.2.1")

    assert keyring.authenticate("Bearer n", "192.0.2.1").name == "new"
