"""An espm for each test of the API, and platforms that call it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.api.platform import NARROW_PSK, OTHER_PSK, Client, Door, Espm, opened, running
from tests.api.wire import trusting, write_pair

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    import trustme


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, trustme.CA]:
    """Make a certificate, its key, and who issued it."""
    return write_pair(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def client(pair: tuple[str, str, trustme.CA]) -> ssl.SSLContext:
    """Make a client's context."""
    return trusting(pair[2])


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A server that all tests share."""
    with opened(tmp_path_factory.mktemp("door")) as served:
        yield served


@pytest.fixture
def espm(tmp_path: Path, door: Door) -> Iterator[Espm]:
    """A running espm with a fake CA and fake classes, the rest real."""
    with running(tmp_path, door) as started:
        yield started


@pytest.fixture
def cloud(espm: Espm) -> Client:
    """A platform with the default limits."""
    return espm.client()


@pytest.fixture
def other(espm: Espm) -> Client:
    """Another platform."""
    return espm.client(OTHER_PSK)


@pytest.fixture
def narrow(espm: Espm) -> Client:
    """A platform with narrow limits."""
    return espm.client(NARROW_PSK)
