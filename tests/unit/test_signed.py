"""The CA's directory of signed certificates, as the place to heal from."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from espm.ca import http_api, signed
from espm.model import HEALING, PuppetAccess

if TYPE_CHECKING:
    from pathlib import Path

ACCESS = PuppetAccess("https://localhost:1", "https://localhost:1", "", "", "")


def test_what_a_dead_healer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    """Only files of its names that are old: another espm may be healing now."""
    left, young, theirs = (
        tmp_path / f"{name}.pem" for name in (f"{HEALING}1a", f"{HEALING}1b", "web1.example.com")
    )
    for file in (left, young, theirs):
        file.write_text("x")
    old = time.time() - signed._OLD - 1
    for file in (left, theirs):
        os.utime(file, (old, old))

    http_api.connect({"signed_dir": str(tmp_path)}, ACCESS)

    assert sorted(tmp_path.iterdir()) == sorted([young, theirs])
