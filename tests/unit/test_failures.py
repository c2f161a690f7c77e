"""Failed authentications: limited by peer, in bounded memory, and never for who has a key."""

from __future__ import annotations

import hashlib
import logging
from unittest.mock import Mock

import pytest

from espm.api.auth import Keyring
from espm.api.failures import Failures
from espm.api.faults import AuthenticationNeeded, TooManyFailures
from espm.errors import Unauthenticated
from espm.model import Limits, Platform
from espm.pace import Pace

PACE = Pace(most=3, seconds=60.0)
HERE = "192.0.2.7"


class Clock:
    """A clock that tests set."""

    now = 1000.0

    def __call__(self) -> float:
        """Return its time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Time."""
    return Clock()


@pytest.fixture
def failures(clock: Clock) -> Failures:
    """Three failures in a minute for each of five peers."""
    return Failures(PACE, peers=5, clock=clock)


@pytest.fixture
def keyring(failures: Failures) -> Keyring:
    """One platform with the key ``good``."""
    digest = hashlib.sha256(b"good").hexdigest()
    return Keyring([Platform("cloud", (digest,), Limits())], failures)


def outcomes(keyring: Keyring, times: int, address: str = HERE) -> list[type[BaseException]]:
    """Return what so many wrong keys from *address* give."""
    found: list[type[BaseException]] = []
    for number in range(times):
        with pytest.raises(Unauthenticated) as caught:
            keyring.authenticate(f"Bearer wrong-{number}", address)
        found.append(caught.type)
    return found


def test_too_many_wrong_keys_are_told_so(keyring: Keyring, clock: Clock) -> None:
    """Three are unauthenticated, the fourth is too many, and a third of a minute later one more."""
    assert outcomes(keyring, 5) == [AuthenticationNeeded] * 3 + [TooManyFailures] * 2
    clock.now += 20.0
    assert outcomes(keyring, 2) == [AuthenticationNeeded, TooManyFailures]


def test_the_wait_is_told(keyring: Keyring, clock: Clock) -> None:
    """It is whole seconds, and after them another wrong key is unauthenticated again."""
    outcomes(keyring, 3)
    clock.now += 0.5
    with pytest.raises(TooManyFailures) as caught:
        keyring.authenticate("Bearer wrong", HERE)
    assert caught.value.retry_after == 20

    clock.now += caught.value.retry_after
    assert outcomes(keyring, 1) == [AuthenticationNeeded]


def test_a_right_key_is_let_in_whatever_others_did_behind_its_address(keyring: Keyring) -> None:
    """Nobody can lock out a platform, from its own NAT neither."""
    outcomes(keyring, 1000)

    assert keyring.authenticate("Bearer good", HERE).name == "cloud"
    assert outcomes(keyring, 1) == [TooManyFailures]


def test_every_key_is_compared_before_the_limit_is_looked_at(
    keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused attempt costs what the others cost: one digest, and each known one compared."""
    outcomes(keyring, 3)
    compare = Mock(return_value=False)
    monkeypatch.setattr("hmac.compare_digest", compare)

    assert outcomes(keyring, 2) == [TooManyFailures] * 2
    assert compare.call_count == 2


def test_each_address_has_its_own_limit_but_a_network_of_ipv6_has_one(keyring: Keyring) -> None:
    """Changing the last half of an IPv6 address gives no new attempts."""
    outcomes(keyring, 3)

    assert outcomes(keyring, 1, "192.0.2.8") == [AuthenticationNeeded]
    seen = [outcomes(keyring, 1, f"2001:db8::{n:x}")[0] for n in range(1, 5)]
    assert seen == [AuthenticationNeeded] * 3 + [TooManyFailures]
    assert outcomes(keyring, 1, "2001:db8:0:1::1") == [AuthenticationNeeded]


def test_memory_is_bounded_whoever_comes(
    failures: Failures, keyring: Keyring, clock: Clock
) -> None:
    """Peers beyond the table share one limit, known ones keep theirs, and all are forgotten."""
    addresses = [f"198.51.100.{n}" for n in range(200)]
    seen = [outcomes(keyring, 1, address)[0] for address in addresses]

    assert len(failures) == 6
    assert seen.count(AuthenticationNeeded) == 5 + 3
    assert outcomes(keyring, 3, addresses[0]) == [AuthenticationNeeded] * 2 + [TooManyFailures]
    clock.now += 60.0
    assert outcomes(keyring, 1, addresses[-1]) == [AuthenticationNeeded]
    assert len(failures) == 1


def test_failures_are_counted(failures: Failures, keyring: Keyring) -> None:
    """How many there were, and how many of them were too many."""
    outcomes(keyring, 5)

    assert (failures.total, failures.refused) == (5, 2)


def test_a_reload_forgets_no_failures(keyring: Keyring) -> None:
    """SIGHUP gives nobody new attempts."""
    outcomes(keyring, 3)
    keyring.replace([])

    assert outcomes(keyring, 1) == [TooManyFailures]


def test_each_failure_up_to_the_limit_is_a_line(
    keyring: Keyring, caplog: pytest.LogCaptureFixture
) -> None:
    """fail2ban gets as many lines as it needs, and the log of an attack stays short."""
    with caplog.at_level(logging.INFO):
        outcomes(keyring, 50)

    assert caplog.messages == [f"authentication failed from {HERE}"] * 3
