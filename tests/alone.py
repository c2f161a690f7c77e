"""An espm without server or daemon, that carries on at once, and one node of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from espm import nodes
from espm.model import Certname, Classification
from espm.ordering import Order
from tests.api.platform import PLATFORMS, Door, Espm, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLOUD = PLATFORMS[0]
NAME = Certname("web-1.example.com")


def espm_alone(tmp_path: Path) -> Iterator[Espm]:
    """Give an espm for a fixture."""
    with running(tmp_path, Door("", "")) as started:
        yield started


def add(espm: Espm, order: Order | None = None) -> bytes:
    """Add the node and return its certificate."""
    wanted = order or Order()
    nodes.add_node(CLOUD, NAME, Classification(), espm.ports, order=wanted, request_id="r")
    return espm.ca.issued[NAME]
