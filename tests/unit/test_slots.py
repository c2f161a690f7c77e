"""Files that carry one CSR after the other into a CA's directory."""

from __future__ import annotations

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from espm.ca.probes import sweep
from espm.ca.slots import MOST, Slots
from espm.ca.waiting import Waiting
from espm.model import Certname


def put(slots: Slots, directory: Path, name: str) -> Path:
    """Put a CSR of *name* there, whose content is the name, and return its file."""
    file = directory / f"{name}.pem"
    slots.put(name.encode(), str(file))
    return file


def slots_in(directory: Path) -> list[Path]:
    """Return the files there that are no CSR's."""
    return [file for file in directory.iterdir() if file.suffix != ".pem"]


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len([*Path("/proc/self/fd").iterdir()])


@pytest.mark.parametrize("second", ["longer-by-some", "alike", "x"])
def test_a_file_carries_one_after_the_other(tmp_path: Path, second: str) -> None:
    """It has just the second when the CA has taken the first, be that longer or shorter."""
    slots = Slots(tmp_path)
    first = put(slots, tmp_path, "first")
    node = first.stat().st_ino
    first.unlink()

    file = put(slots, tmp_path, second)

    assert file.read_text() == second
    assert file.stat().st_ino == node
    assert len(slots_in(tmp_path)) == 1


def test_what_waits_stays_as_it_is(tmp_path: Path) -> None:
    """A CSR that the CA has not taken is nobody else's file."""
    slots = Slots(tmp_path)
    first = put(slots, tmp_path, "first")

    second = put(slots, tmp_path, "second")
    second.unlink()
    third = put(slots, tmp_path, "third")

    assert (first.read_text(), third.read_text()) == ("first", "third")
    assert len(slots_in(tmp_path)) == 2


def test_a_name_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    """The file that was written for it is good for the next one."""
    slots, theirs = Slots(tmp_path), tmp_path / "web.pem"
    theirs.write_text("theirs")

    with pytest.raises(FileExistsError):
        put(slots, tmp_path, "web")
    [slot] = slots_in(tmp_path)
    node = slot.stat().st_ino

    assert put(slots, tmp_path, "other").stat().st_ino == node
    assert theirs.read_text() == "theirs"
    assert len(slots_in(tmp_path)) == 1


def test_a_directory_that_is_exchanged_for_a_copy_gets_what_is_put_there(tmp_path: Path) -> None:
    """The files that were written before lie elsewhere, and so does what waits in them."""
    directory, moved = tmp_path / "requests", tmp_path / "moved"
    directory.mkdir()
    slots = Slots(directory)
    put(slots, directory, "waits")
    put(slots, directory, "taken").unlink()

    directory.rename(moved)
    shutil.copytree(moved, directory)

    assert put(slots, directory, "next").read_text() == "next"
    assert put(slots, directory, "last").read_text() == "last"
    assert (moved / "waits.pem").read_text() == "waits"
    assert (directory / "waits.pem").read_text() == "waits"


def test_what_was_taken_back_is_not_written_again(tmp_path: Path) -> None:
    """Whoever has opened it reads the CSR that it was, and not the next node's."""
    waiting = Waiting(tmp_path)
    web, mail = Certname("web.example.com"), Certname("mail.example.com")
    waiting.put(web, b"web")
    with (tmp_path / f"{web}.pem").open() as opened:
        waiting.take_back(web, b"web")
        waiting.put(mail, b"mail")

        assert opened.read() == "web"
    assert len(slots_in(tmp_path)) == 1


def test_a_file_system_that_counts_no_names_gets_a_file_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits could not be told from what is free."""
    slots, look = Slots(tmp_path), os.fstat

    def uncounted(fd: int) -> os.stat_result:
        return os.stat_result((*look(fd)[:3], 1, *look(fd)[4:]))

    monkeypatch.setattr(os, "fstat", uncounted)

    files = [put(slots, tmp_path, name) for name in ("first", "second")]

    assert [file.read_text() for file in files] == ["first", "second"]
    assert slots_in(tmp_path) == []


def test_one_that_may_not_be_used_any_more_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by ``chown -R``, after which Linux links it for nobody else (fs.protected_hardlinks)."""
    slots, link = Slots(tmp_path), os.link
    put(slots, tmp_path, "first").unlink()
    [old] = slots_in(tmp_path)

    def but_not_that(source: str, target: str) -> None:
        if source == str(old):
            raise PermissionError(1, "Operation not permitted")
        link(source, target)

    monkeypatch.setattr(os, "link", but_not_that)

    assert put(slots, tmp_path, "second").read_text() == "second"
    assert old not in slots_in(tmp_path)


def test_many_that_wait_keep_their_content_and_few_files_are_kept(tmp_path: Path) -> None:
    """What is beyond the number is the CSR's alone; it goes with its name."""
    slots = Slots(tmp_path)
    names = [f"web{number}" for number in range(MOST + 5)]

    files = [put(slots, tmp_path, name) for name in names]

    assert [file.read_text() for file in files] == names
    assert len(slots_in(tmp_path)) == MOST
    assert [file.stat().st_nlink for file in files[:6]] == [1] * 5 + [2]


def test_threads_never_share_a_file(tmp_path: Path) -> None:
    """Each finds its own CSR under its name, as the CA would."""
    slots = Slots(tmp_path)

    def lives(thread: int) -> bool:
        for life in range(50):
            file = put(slots, tmp_path, f"web{thread}-{life}")
            if file.read_text() != file.stem:
                return False
            file.unlink()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lives, range(8)))
    assert len(slots_in(tmp_path)) <= MOST


def test_what_was_swept_away_is_made_anew(tmp_path: Path) -> None:
    """Another espm takes for left behind what rested for long; the next launch goes on."""
    slots = Slots(tmp_path)
    put(slots, tmp_path, "first").unlink()
    [slot] = slots_in(tmp_path)
    os.utime(slot, (0, 0))
    sweep(tmp_path)
    assert slots_in(tmp_path) == []

    assert put(slots, tmp_path, "second").read_text() == "second"
    assert len(slots_in(tmp_path)) == 1


def test_what_waits_stays_as_it_is_when_its_file_is_swept_away(tmp_path: Path) -> None:
    """It is then the only one that the file is for, though the file has one name again."""
    slots = Slots(tmp_path)
    first = put(slots, tmp_path, "first")
    [slot] = slots_in(tmp_path)
    slot.unlink()

    second = put(slots, tmp_path, "second")

    assert (first.read_text(), second.read_text()) == ("first", "second")


def test_one_that_is_swept_away_at_that_moment_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CSR gets there all the same."""
    slots, fsync = Slots(tmp_path), os.fsync
    put(slots, tmp_path, "first").unlink()
    old = slots_in(tmp_path)

    def and_sweep(fd: int) -> None:
        fsync(fd)
        while old:
            old.pop().unlink()

    monkeypatch.setattr(os, "fsync", and_sweep)

    assert put(slots, tmp_path, "second").read_text() == "second"


def test_what_waits_is_not_swept(tmp_path: Path) -> None:
    """While its name goes it has one, as if it were free, and somebody might write it then."""
    slots = Slots(tmp_path)
    file = put(slots, tmp_path, "first")
    os.utime(file, (0, 0))

    sweep(tmp_path)
    assert len(slots_in(tmp_path)) == 1

    file.unlink()
    sweep(tmp_path)
    assert slots_in(tmp_path) == []


def test_what_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a CSR has no name, and its file is not used again."""
    slots = Slots(tmp_path)
    put(slots, tmp_path, "first").unlink()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            put(slots, tmp_path, "second")

    assert [*tmp_path.iterdir()] == []


def test_they_may_be_dropped_while_one_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by who finds that the directory is not the CA's, while somebody else puts a CSR there."""
    slots, look = Slots(tmp_path), os.open
    put(slots, tmp_path, "first").unlink()
    dropping = threading.Thread(target=slots.drop)

    def and_drop(path: str, *how: int) -> int:
        if dropping.ident is None:
            dropping.start()
            dropping.join(0.1)
        return look(path, *how)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", and_drop)
        file = put(slots, tmp_path, "second")
    dropping.join()

    assert file.read_text() == "second"


@pytest.mark.parametrize("forgotten", [True, False])
def test_they_go_with_whoever_has_them(tmp_path: Path, *, forgotten: bool) -> None:
    """What waits waits on."""
    slots = Slots(tmp_path)
    waits = put(slots, tmp_path, "waits")
    put(slots, tmp_path, "taken").unlink()

    if forgotten:
        del slots
    else:
        slots.drop()

    assert [*tmp_path.iterdir()] == [waits]


def test_no_descriptor_is_kept(tmp_path: Path) -> None:
    """The CA's file system could not be unmounted, as where it is failed over."""
    slots = Slots(tmp_path)
    before = descriptors()

    put(slots, tmp_path, "waits")
    put(slots, tmp_path, "taken").unlink()
    put(slots, tmp_path, "next")
    with pytest.raises(FileExistsError):
        put(slots, tmp_path, "next")

    assert descriptors() == before


@pytest.mark.parametrize("mask", [0o077, 0o022])
def test_everybody_may_read_them(tmp_path: Path, mask: int) -> None:
    """Puppet Server's user must, and may be another than espm's."""
    before = os.umask(mask)
    try:
        file = put(Slots(tmp_path), tmp_path, "web")
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o644


def test_whoever_may_not_set_the_mode_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file was made, and would be nobody's."""

    def fails(*_: object) -> None:
        raise PermissionError(1, "not here")

    monkeypatch.setattr(os, "fchmod", fails)
    before = descriptors()

    with pytest.raises(PermissionError):
        put(Slots(tmp_path), tmp_path, "web")
    assert [*tmp_path.iterdir()] == []
    assert descriptors() == before
