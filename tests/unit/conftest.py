"""What several unit tests need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from espm.classifier.directory import prepare

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a prepared ENC directory."""
    path = tmp_path / "enc"
    path.mkdir()
    prepare(path)
    return path
