"""Files by their descriptors: whole, or an error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from espm import files

_DESCRIPTORS = Path("/proc/self/fd")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Also what is longer than one step takes."""
    file, long = tmp_path / "file", os.urandom(200_000)
    with file.open("wb") as opened:
        files.fill(opened.fileno(), long)
    assert files.read(str(file)) == long


def test_what_is_written_in_part_is_written_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is nearly full takes some of it; only then it says that it is full."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, octets: write(fd, octets[:3]))
    file = tmp_path / "file"
    with file.open("wb") as opened:
        files.fill(opened.fileno(), b"0123456789")
    assert file.read_bytes() == b"0123456789"


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    """Whether the file is there, can be read, or not."""
    (tmp_path / "file").write_bytes(b"some")
    before = len([*_DESCRIPTORS.iterdir()])
    files.read(str(tmp_path / "file"))
    with pytest.raises(FileNotFoundError):
        files.read(str(tmp_path / "other"))
    with pytest.raises(IsADirectoryError):
        files.read(str(tmp_path))
    assert len([*_DESCRIPTORS.iterdir()]) == before
