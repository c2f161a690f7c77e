"""The disk is taken away, from the ledger or from the ENC, and given back."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.conftest import absent
from tests.torture.load import Load
from tests.torture.results import Result, say, share
from tests.torture.world import World, fake_world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.torture.nursery import Nursery

pytestmark = [
    *(pytest.mark.slow, pytest.mark.timing, pytest.mark.torture),
    pytest.mark.timeout(3600),
]


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """Give a directory a file system of its own; what is in it goes along.

    It has room for a ledger whose write-ahead log is at its longest, which is 4 MB.
    """
    if os.geteuid() != 0:
        absent("only root can mount a small file system")
    aside = place.with_name("aside")
    place.rename(aside)
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", place], check=True)
    try:
        subprocess.run(["cp", "-a", f"{aside}/.", place], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
        shutil.rmtree(aside)


@contextmanager
def full(place: Path) -> Iterator[None]:
    """Leave next to no room: none, or some pages in which a little can be written."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    pages = random.choice((0, 0, 1, 2, 5))
    os.truncate(filler, max(0, filler.stat().st_size - pages * 4096))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def read_only(place: Path) -> Iterator[None]:
    """Let nothing be written."""
    # Refused for as long as espm has a file open to write.
    while subprocess.run(["mount", "-o", "remount,ro", place], check=False).returncode:
        time.sleep(0.01)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", place], check=True)


@contextmanager
def gone(place: Path) -> Iterator[None]:
    """Put an empty directory in the place of the disk, as a missing mount does."""
    subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


FAULTS = {
    "the disk of the ledger full": ("ledger", full),
    "the disk of the ENC full": ("enc", full),
    "the disk of the ENC read-only": ("enc", read_only),
    "the disk of the ENC not mounted": ("enc", gone),
}


@pytest.mark.parametrize("name", FAULTS)
def test_all_is_well_when_the_disk_is_back(tmp_path: Path, nursery: Nursery, name: str) -> None:
    """What failed left nothing, what was answered with 2xx holds, and espm goes on by itself."""
    part, fault = FAULTS[name]
    rounds, places = share(3, 50), {"ledger": tmp_path / "ledger", "enc": tmp_path / "enc"}
    (tmp_path / "ledger").mkdir()
    url = f"sqlite:///{tmp_path}/ledger/ledger.db"
    with fake_world(tmp_path, nursery, ledger={"url": url}) as (world, _):
        (tmp_path / "ledger.db").rename(tmp_path / "ledger/ledger.db")
        with small_disk(places[part]):
            faults = _suffer(world, lambda: fault(places[part]), rounds)
            world.kill()
        say(f"{name}: {rounds} times")

    Result(name, "fake CA", rounds, len(faults)).keep()
    assert not faults


def _suffer(
    world: World, fault: Callable[[], AbstractContextManager[None]], rounds: int
) -> list[str]:
    """Let *fault* happen under load; return what is wrong afterwards, the first time there is."""
    world.ensure()
    load = Load(world)
    for _ in range(rounds):
        with load.running():
            time.sleep(0.2)
            with fault():
                time.sleep(random.uniform(0.2, 1))
            time.sleep(0.3)
        assert world.alive, world.daemon.text
        found = [] if world.settle() else ["it did not settle"]
        if found := found or world.faults(*load.witnesses):
            say(f"{found}")
            return found
    assert {201, 204, 503} <= set(load.codes)
    return []
