"""The nursery of daemons, one for a whole run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.torture.nursery import Nursery

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where daemons are forked."""
    with Nursery() as opened:
        yield opened
