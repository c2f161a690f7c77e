"""Documents are published whole, durably, and never replaced by earlier ones."""

from __future__ import annotations

import errno
import fcntl
import grp
import json
import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from espm.classifier.directory import MARKER, Opened, prepare
from espm.classifier.documents import Documents
from espm.classifier.forgotten import Forgotten
from espm.classifier.stamp import Stamp, State
from espm.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
PRESENT, WITHHELD = State.PRESENT, State.WITHHELD
BODY = '"environment": "production", "classes": {}, "parameters": {}}\n'


@pytest.fixture
def documents(directory: Path) -> Documents:
    """Return the documents of the directory."""
    return Documents(directory)


def body(text: str) -> str:
    """Return a body that can be told from others."""
    return f'"environment": "{text}"}}\n'


def listing(directory: Path) -> set[str]:
    """Return the names of all files but lock and marker."""
    return {path.name for path in directory.iterdir()} - {".lock", MARKER}


def test_a_document_is_json_with_its_stamp_in_the_first_line(
    documents: Documents, directory: Path
) -> None:
    """The file is named after the node, and nothing else is left behind."""
    assert documents.publish("web1", Stamp(7, 2, PRESENT), BODY) is True

    text = (directory / "web1.json").read_text()
    assert {"web1.json"} == listing(directory)
    assert text.split("\n")[0] == '{"espm": {"generation": 7, "version": 2, "state": "present"},'
    assert json.loads(text)["espm"] == {"generation": 7, "version": 2, "state": "present"}
    assert {"web1": Stamp(7, 2, PRESENT)} == documents.stamps()


def test_mode_and_group_do_not_depend_on_the_umask(documents: Documents, directory: Path) -> None:
    """Puppet Server's group may read the document, others may not."""
    if os.geteuid() == 0:
        os.chown(directory, 65534, 65534)
        directory.chmod(0o2750)
    old = os.umask(0o777)
    try:
        documents.publish("web1", Stamp(1, 1, PRESENT), BODY)
    finally:
        os.umask(old)

    status, parent = (directory / "web1.json").stat(), directory.stat()
    assert stat.S_IMODE(status.st_mode) == 0o640
    assert (parent.st_uid, parent.st_gid) == (status.st_uid, status.st_gid)


def test_prepare_makes_group_mode_and_marker_and_can_be_repeated(tmp_path: Path) -> None:
    """The directory is setgid, of the given group, and marked."""
    gid = grp.getgrnam("nogroup").gr_gid if os.geteuid() == 0 else os.getgid()
    prepare(tmp_path, gid)
    prepare(tmp_path, gid)

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o2750
    assert gid == tmp_path.stat().st_gid
    assert gid == (tmp_path / MARKER).stat().st_gid
    assert stat.S_IMODE((tmp_path / MARKER).stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("first", "second", "wins"),
    [
        (Stamp(1, 1, PRESENT), Stamp(1, 2, PRESENT), True),
        (Stamp(1, 2, PRESENT), Stamp(1, 1, PRESENT), False),
        (Stamp(1, 2, PRESENT), Stamp(1, 2, PRESENT), True),
        (Stamp(1, 9, PRESENT), Stamp(1, 1, WITHHELD), True),
        (Stamp(1, 1, WITHHELD), Stamp(1, 9, PRESENT), False),
        (Stamp(1, 1, WITHHELD), Stamp(1, 1, WITHHELD), True),
        (Stamp(1, 9, WITHHELD), Stamp(2, 1, PRESENT), True),
        (Stamp(2, 1, PRESENT), Stamp(1, 9, WITHHELD), False),
        (Stamp(2, 1, PRESENT), Stamp(1, 9, PRESENT), False),
        (Stamp(9, 1, PRESENT), Stamp(10, 1, PRESENT), True),
    ],
)
def test_only_the_later_document_is_in_force(
    first: Stamp, second: Stamp, documents: Documents, directory: Path, *, wins: bool
) -> None:
    """Generation decides, then withholding, then version; equal stamps may be rewritten."""
    documents.publish("web1", first, body("first"))
    documents.publish("web1", second, body("second"))

    content = json.loads((directory / "web1.json").read_text())
    assert ("second" if wins else "first") == content["environment"]


def test_publishing_the_same_again_leaves_the_file_alone(
    documents: Documents, directory: Path
) -> None:
    """What does not change is not rewritten."""
    documents.publish("web1", Stamp(1, 1, PRESENT), BODY)
    inode = (directory / "web1.json").stat().st_ino

    assert documents.publish("web1", Stamp(1, 1, PRESENT), BODY) is False
    assert inode == (directory / "web1.json").stat().st_ino


def test_a_document_is_withheld_where_it_is(documents: Documents, directory: Path) -> None:
    """Its first line says so, no file is made, and nothing earlier brings it back."""
    documents.publish("web1", Stamp(7, 2, PRESENT), BODY)
    before = (directory / "web1.json").stat()

    assert documents.withhold("web1", Stamp(7, 2, WITHHELD)) is True
    assert documents.withhold("web1", Stamp(7, 2, WITHHELD)) is False

    after, text = (directory / "web1.json").stat(), (directory / "web1.json").read_text()
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)
    assert json.loads(text)["espm"] == {"generation": 7, "version": 2, "state": "withheld"}
    assert documents.publish("web1", Stamp(7, 9, PRESENT), BODY) is False
    assert {"web1": Stamp(7, 2, WITHHELD)} == documents.stamps()
    assert {"web1.json"} == listing(directory)


@pytest.mark.parametrize(
    ("there", "becomes"),
    [
        (None, Stamp(7, 2, WITHHELD)),
        (Stamp(6, 9, PRESENT), Stamp(7, 2, WITHHELD)),
        (Stamp(6, 9, WITHHELD), Stamp(7, 2, WITHHELD)),
        (Stamp(7, 1, WITHHELD), Stamp(7, 2, WITHHELD)),
        (Stamp(8, 1, PRESENT), Stamp(8, 1, PRESENT)),
        (Stamp(8, 1, WITHHELD), Stamp(8, 1, WITHHELD)),
    ],
)
def test_a_tombstone_is_made_where_no_document_of_that_life_is(
    there: Stamp | None, becomes: Stamp, documents: Documents, directory: Path
) -> None:
    """Of an earlier life or none: it gets one; a later life keeps its own; with force none does."""
    if there is not None:
        documents.publish("web1", there, BODY)

    assert documents.withhold("web1", Stamp(7, 2, WITHHELD)) is (becomes != there)
    assert {"web1": becomes} == documents.stamps()

    documents.withhold("web1", Stamp(7, 2, WITHHELD), force=True)
    assert {"web1": Stamp(7, 2, WITHHELD)} == documents.stamps()
    assert {"web1.json"} == listing(directory)


def test_a_full_disk_does_not_keep_a_document_in_force(
    documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file is made to withhold it."""
    documents.publish("web1", Stamp(7, 2, PRESENT), BODY)
    monkeypatch.setattr(Opened, "write_aside", _full)
    with pytest.raises(BackendUnavailable, match="disk is full"):
        documents.publish("web1", Stamp(7, 3, PRESENT), body("new"))

    assert documents.withhold("web1", Stamp(7, 2, WITHHELD)) is True


def _full(*_: object) -> str:
    raise OSError(errno.ENOSPC, "injected")


def test_what_is_withheld_is_on_the_disk(
    documents: Documents, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Octets and name are synced, after the lock was let go.

    Also by a repeat: the process before may have died before it came to that.
    """
    did: list[tuple[str, int]] = []
    documents.publish("web1", Stamp(7, 2, PRESENT), BODY)
    for name in ("pwrite", "fdatasync", "fsync"):
        real = getattr(os, name)

        def watched(fd: int, *rest: Any, _name: str = name, _real: Any = real) -> Any:
            with open_alone(directory) as free:
                did.append((_name if free else f"{_name}, locked", os.fstat(fd).st_ino))
            return _real(fd, *rest)

        monkeypatch.setattr(os, name, watched)

    file, parent = (directory / "web1.json").stat().st_ino, directory.stat().st_ino
    for _ in range(2):
        documents.withhold("web1", Stamp(7, 2, WITHHELD))
        assert did == [("pwrite, locked", file), ("fdatasync", file), ("fsync", parent)]
        did.clear()


@contextmanager
def open_alone(directory: Path) -> Iterator[bool]:
    """Tell whether nobody has the directory's lock."""
    with (directory / ".lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@pytest.mark.parametrize("odd", ["unwritable", "linked", "refused", "cut short"])
def test_what_can_not_be_marked_gets_a_new_file(
    odd: str, documents: Documents, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """We may not write it, it has another name, or its file system writes nothing in place."""
    documents.publish("web1", Stamp(7, 2, PRESENT), BODY)
    file, copy = directory / "web1.json", directory.parent / "copy.json"
    before = file.read_text()
    if odd == "linked":
        copy.hardlink_to(file)
    elif odd == "unwritable":
        monkeypatch.setattr(os, "open", _refusing(os.open))
    else:
        monkeypatch.setattr(os, "pwrite", _full if odd == "refused" else lambda *_: 3)

    assert documents.withhold("web1", Stamp(7, 2, WITHHELD)) is True

    assert {"web1": Stamp(7, 2, WITHHELD)} == documents.stamps()
    assert file.read_text() != before
    assert {"web1.json"} == listing(directory)
    assert odd != "linked" or copy.read_text() == before


def _refusing(real: Any) -> Any:
    """Return what opens a file as *real* does, but no document to be written."""

    def opening(path: Any, flags: int, *rest: Any, **more: Any) -> Any:
        if path == "web1.json" and flags & os.O_WRONLY:
            raise PermissionError(errno.EACCES, "injected")
        return real(path, flags, *rest, **more)

    return opening


def test_force_replaces_a_later_document(documents: Documents, directory: Path) -> None:
    """A rebuild after the ledger was restored makes the ledger's word count."""
    documents.publish("web1", Stamp(5, 5, WITHHELD), body("later"))

    assert documents.publish("web1", Stamp(1, 1, PRESENT), body("x"), force=True) is True
    assert Stamp(1, 1, PRESENT) == documents.stamps()["web1"]


def test_forget_removes_this_and_earlier_generations_only(
    documents: Documents, directory: Path
) -> None:
    """A successor's document survives, and forgetting can be repeated."""
    documents.publish("web1", Stamp(2, 1, PRESENT), BODY)
    documents.forget(("web1", 1))

    assert {"web1.json"} == listing(directory)

    documents.forget(("web1", 2))
    documents.forget(("web1", 2))

    assert set() == listing(directory)


def test_many_are_forgotten_at_once_and_later_ones_stay(
    documents: Documents, directory: Path
) -> None:
    """Each by its own generation."""
    for number in range(3):
        documents.publish(f"web{number}", Stamp(number + 1, 1, PRESENT), BODY)

    documents.forget(("web0", 1), ("web1", 1), ("web2", 3), ("never", 4))

    assert {"web1.json"} == listing(directory)


def test_a_late_writer_cannot_resurrect_a_forgotten_document(
    documents: Documents, directory: Path
) -> None:
    """What was forgotten stays away; the name's next generation is welcome."""
    documents.publish("web1", Stamp(2, 1, WITHHELD), BODY)
    documents.forget(("web1", 2))

    assert documents.publish("web1", Stamp(2, 1, PRESENT), BODY) is False
    assert documents.publish("web1", Stamp(1, 9, PRESENT), BODY) is False
    assert set() == listing(directory)
    assert documents.publish("web1", Stamp(3, 1, PRESENT), BODY) is True


def test_what_is_remembered_of_the_forgotten_is_bounded(documents: Documents) -> None:
    """A late writer is late by minutes, not by thousands of deletions."""
    documents._forgotten = Forgotten(places=3)
    for generation in range(1, 100):
        documents.forget((f"n{generation}", generation))

    remembered = [n for n in range(1, 100) if documents._forgotten.generation(f"n{n}") == n]
    assert 1 <= len(remembered) <= 3
    assert 99 in remembered


def test_a_name_with_the_place_of_another_is_not_taken_for_it(documents: Documents) -> None:
    """A new node is never too late for another's end."""
    documents._forgotten = Forgotten(places=1)
    documents.forget(("old", 7))

    assert documents.publish("new", Stamp(5, 1, PRESENT), BODY)
    assert not documents.publish("old", Stamp(7, 1, PRESENT), BODY)


def test_the_last_life_that_was_forgotten_counts(documents: Documents) -> None:
    """Also where an earlier one is forgotten once more behind it."""
    documents.forget(("web1", 7))
    documents.forget(("web1", 3))

    assert not documents.publish("web1", Stamp(6, 1, PRESENT), BODY)
    assert documents.publish("web1", Stamp(8, 1, PRESENT), BODY)


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"espm": {"generation": 7', b"\xff\x00"])
def test_a_damaged_document_is_shown_and_replaced(
    damage: bytes, documents: Documents, directory: Path
) -> None:
    """A file without a stamp says nothing that could be later."""
    (directory / "web1.json").write_bytes(damage)

    assert documents.stamps() == {"web1": None}
    assert documents.publish("web1", Stamp(1, 1, PRESENT), BODY) is True


def test_a_symbolic_link_is_replaced_and_not_followed(
    documents: Documents, directory: Path, tmp_path: Path
) -> None:
    """Nothing outside the directory is ever written."""
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (directory / "web1.json").symlink_to(outside)
    documents.publish("web1", Stamp(1, 1, PRESENT), BODY)

    assert outside.read_text() == "mine"
    assert not (directory / "web1.json").is_symlink()


def test_a_fifo_keeps_no_writer_waiting(documents: Documents, directory: Path) -> None:
    """Odd files count as damaged ones."""
    os.mkfifo(directory / "web1.json")

    assert documents.stamps() == {"web1": None}
    assert documents.publish("web1", Stamp(1, 1, PRESENT), BODY) is True


def test_nothing_is_written_where_the_marker_is_missing(
    documents: Documents, directory: Path
) -> None:
    """A mount that is missing is not mistaken for an empty directory."""
    documents.publish("web1", Stamp(1, 1, PRESENT), BODY)
    (directory / MARKER).unlink()
    for call in (
        documents.ping,
        documents.stamps,
        documents.sweep,
        lambda: documents.publish("web2", Stamp(1, 1, PRESENT), BODY),
        lambda: documents.withhold("web1", Stamp(1, 1, WITHHELD)),
        lambda: documents.forget(("web1", 1)),
    ):
        with pytest.raises(BackendUnavailable, match="marker file is not there") as caught:
            call()
        assert str(directory) not in str(caught.value)

    assert {"web1.json"} == listing(directory)


@pytest.mark.parametrize("call", ["fsync", "rename", "fchmod", "open"])
@pytest.mark.parametrize(
    ("number", "why"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "may not write")]
)
def test_a_failed_write_changes_nothing(
    call: str,
    number: int,
    why: str,
    documents: Documents,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The old document stays whole and in force, and nothing is left beside it."""
    documents.publish("web1", Stamp(1, 1, PRESENT), body("old"))
    real = getattr(os, call)

    def failing(*args: object, **options: object) -> object:
        if call == "open" and not str(args[0]).startswith(".aside-"):
            return real(*args, **options)
        raise OSError(number, "injected")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        with pytest.raises(BackendUnavailable, match=why):
            documents.publish("web1", Stamp(1, 2, PRESENT), body("new"))

    assert {"web1.json"} == listing(directory)
    assert json.loads((directory / "web1.json").read_text())["environment"] == "old"


def test_a_repeat_writes_nothing(
    documents: Documents, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk stops no deletion whose tombstone is in force already, nor a late writer."""
    documents.publish("web1", Stamp(1, 2, WITHHELD), BODY)
    write = os.open

    def full(path: str, flags: int, *more: object, **options: object) -> int:
        if str(path).startswith(".aside-"):
            raise OSError(errno.ENOSPC, "injected")
        return write(path, flags, *more, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", full)

    assert not documents.publish("web1", Stamp(1, 2, WITHHELD), BODY)
    assert not documents.publish("web1", Stamp(1, 1, PRESENT), BODY)
    assert {"web1.json"} == listing(directory)


def test_ping_says_why_nothing_could_be_written(
    documents: Documents, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readiness is a real write, not a look at permissions."""
    documents.ping()

    assert set() == listing(directory)

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "injected")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BackendUnavailable, match="disk is full"):
        documents.ping()
    assert set() == listing(directory)


def test_sweep_removes_what_dead_writers_left(documents: Documents, directory: Path) -> None:
    """Files written aside go; documents stay."""
    documents.publish("web1", Stamp(1, 1, PRESENT), BODY)
    (directory / ".aside-0123").write_text("half")
    documents.sweep()

    assert {"web1.json"} == listing(directory)


def test_a_writer_that_syncs_keeps_no_other_waiting(
    documents: Documents, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow disk makes each wait for itself; only looking and renaming take turns."""
    slow, others, real = threading.Event(), threading.Event(), os.fsync

    def fsync(fd: int) -> None:
        if not slow.is_set():
            slow.set()
            assert others.wait(30)
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(documents.publish, "web1", Stamp(1, 1, PRESENT), BODY)
        assert slow.wait(30)
        assert documents.publish("web2", Stamp(2, 1, PRESENT), BODY)
        assert documents.publish("web1", Stamp(1, 2, PRESENT), BODY)
        others.set()

        assert not first.result(30), "it comes too late"

    assert documents.stamps() == {"web1": Stamp(1, 2, PRESENT), "web2": Stamp(2, 1, PRESENT)}
    assert {"web1.json", "web2.json"} == listing(directory)


def test_a_sweep_does_not_harm_a_writer_that_lives(
    documents: Documents, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had written aside may be swept away by a command that starts meanwhile."""
    real = os.fsync

    def and_sweep(fd: int) -> None:
        real(fd)
        monkeypatch.setattr(os, "fsync", real)
        Documents(directory).sweep()

    monkeypatch.setattr(os, "fsync", and_sweep)

    assert documents.publish("web1", Stamp(1, 1, PRESENT), BODY)
    assert documents.stamps() == {"web1": Stamp(1, 1, PRESENT)}
    assert {"web1.json"} == listing(directory)


def test_what_is_not_expected_to_change_is_not_written_aside(
    documents: Documents, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start looks at every document, and most are as they should be."""
    documents.publish("web1", Stamp(1, 1, PRESENT), BODY)
    written: list[bytes] = []
    write = Opened.write_aside

    def noting(self: Opened, content: bytes) -> str:
        written.append(content)
        return write(self, content)

    monkeypatch.setattr(Opened, "write_aside", noting)

    assert not documents.publish("web1", Stamp(1, 1, PRESENT), BODY, new=False)
    assert written == []
    assert documents.publish("web1", Stamp(1, 1, PRESENT), body("new"), new=False)
    assert len(written) == 1
    assert {"web1.json"} == listing(directory)


WRITER = """
import sys
from pathlib import Path
from espm.classifier.documents import Documents
from espm.classifier.stamp import Stamp, State

documents = Documents(Path(sys.argv[1]))
for version in map(int, sys.argv[2:]):
    documents.publish("web1", Stamp(1, version, State.PRESENT), f'"environment": "v{version}"}}\\n')
"""


def test_racing_threads_and_processes_leave_the_latest(directory: Path) -> None:
    """Whoever comes last, the latest version is in force and whole."""
    orders = [list(range(1, 31)), list(range(30, 0, -1)), [15, 30, 1, 29, 2]]

    def write(order: list[int]) -> None:
        documents = Documents(directory)
        for version in order:
            documents.publish("web1", Stamp(1, version, PRESENT), body(f"v{version}"))

    commands = [
        [sys.executable, "-c", WRITER, str(directory), *map(str, order)] for order in orders[:2]
    ]
    processes = [subprocess.Popen(command, cwd=REPOSITORY) for command in commands]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, orders))
    for process in processes:
        assert process.wait(60) == 0

    assert Documents(directory).stamps() == {"web1": Stamp(1, 30, PRESENT)}
    assert json.loads((directory / "web1.json").read_text())["environment"] == "v30"
    assert listing(directory) == {"web1.json"}
