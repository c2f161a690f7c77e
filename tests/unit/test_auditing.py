"""The commands that look at the audit log, as an administrator calls them."""

from __future__ import annotations

import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from espm import __main__ as command
from espm.ledger import open_ledger, upgrade
from espm.model import Certname, Classification, IntentKind
from tests.configsamples import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[2]
CHANGES = 40


@dataclass
class Desk:
    """An administrator's: a configuration, and the ledger that it names."""

    ini: Path
    database: Path

    def run(self, *arguments: str) -> int:
        """Run ``espm audit`` here."""
        return command.main(["audit", *arguments, "-c", str(self.ini)])

    def argv(self, *arguments: str) -> Sequence[str]:
        """Return the command line of ``espm audit`` as a process."""
        return [sys.executable, "-m", "espm", "audit", *arguments, "-c", str(self.ini)]

    def sql(self, statement: str) -> list[tuple[str, ...]]:
        """Do something to the ledger, looking past espm."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            return connection.execute(statement).fetchall()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A ledger with some history, which no test changes."""
    directory = tmp_path_factory.mktemp("desk")
    url = f"sqlite:///{directory}/ledger.db"
    upgrade(url)
    with open_ledger(url) as ledger:
        name = Certname("web.example.com")
        _, adding = ledger.reserve(name, "cloud", Classification(), request_id="r-1")
        node = ledger.activate(adding)
        for version in range(2, CHANGES + 1):
            intent = ledger.begin(node, IntentKind.CHANGE, request_id=f"r-{version}")
            node = ledger.change(intent, Classification(), version)
    sample = Sample.make(directory)
    sample.set("ledger", url=url)
    return Desk(sample.write(), directory / "ledger.db")


@pytest.fixture
def copy(desk: Desk, tmp_path: Path) -> Desk:
    """The same, to be tampered with."""
    database = tmp_path / "ledger.db"
    desk.sql(f"VACUUM INTO '{database}'")
    text = desk.ini.read_text().replace(str(desk.database), str(database))
    ini = tmp_path / "espm.ini"
    ini.write_text(text)
    ini.chmod(0o600)
    return Desk(ini, database)


def hash_of(desk: Desk, number: int) -> str:
    """Return the hash of a row."""
    return desk.sql(f"SELECT hash FROM audit WHERE number = {number}")[0][0]


def test_a_log_that_is_whole(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0; how many rows there are and which is the head; nothing on standard error."""
    last = hash_of(desk, CHANGES)

    assert desk.run("verify") == 0
    said = capsys.readouterr()
    assert said.out == f"the audit log is whole: rows {CHANGES}, head {CHANGES}:{last}\n"
    assert said.err == ""


@pytest.mark.parametrize("form", ["{0}", "20:{0}", "20:{1}", "020:{0}"])
def test_a_head_that_was_logged(desk: Desk, form: str) -> None:
    """Any of them is found, by hash or by number and hash, in either case of letters."""
    hash_ = hash_of(desk, 20)

    assert desk.run("verify", "--head", form.format(hash_, hash_.upper())) == 0


def test_a_head_that_is_not_there(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, and what that means."""
    assert desk.run("verify", "--head", f"21:{hash_of(desk, 20)}") == 1
    assert re.fullmatch(
        r"the audit log is not whole: the head 21:\w+, which was logged, is not among its"
        rf" {CHANGES} rows: the end of the log was cut off, or it was written anew\n",
        capsys.readouterr().out,
    )


def test_a_row_that_was_changed(copy: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, and one line that names it."""
    copy.sql("UPDATE audit SET platform = 'other' WHERE number = 17")

    assert copy.run("verify") == 1
    assert capsys.readouterr().out == (
        "the audit log is not whole: row 17 (change of web.example.com) does not fit: it was"
        " changed, or it was not written behind row 16\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "--head", "5"],
        ["verify", "--head", "f0" * 31],
        ["verify", "--head", "-1:" + "f0" * 32],
        ["verify", "--head", "x:" + "f0" * 32],
        ["verify", "--head", "9" * 19 + ":" + "f0" * 32],
        ["verify", "--head"],
        ["export", "--after", "x"],
        ["export", "--after", "-1"],
        ["export", "--after", "9" * 19],
        ["export", "--after", "٣"],  # A digit, but not one of ours.
        [],
    ],
)
def test_a_wrong_command_line(
    desk: Desk, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, before anything is read."""
    with pytest.raises(SystemExit) as ended:
        desk.run(*arguments)

    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: espm audit")


def test_an_export(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    """A line of JSON for each row, with stable names, each with its hash and the one before."""
    assert desk.run("export") == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]

    assert [row["number"] for row in rows] == list(range(1, CHANGES + 1))
    assert [row["previous"] for row in rows[1:]] == [row["hash"] for row in rows[:-1]]
    assert rows[0].pop("at")
    assert rows[0] == {
        "number": 1,
        "platform": "cloud",
        "action": "add",
        "certname": "web.example.com",
        "generation": 1,
        "serial": None,
        "fingerprint": None,
        "request_id": "r-1",
        "outcome": "done",
        "previous": "0" * 64,
        "hash": hash_of(desk, 1),
    }


@pytest.mark.parametrize(("after", "lines"), [(0, 40), (1, 39), (39, 1), (40, 0), (10**18 - 1, 0)])
def test_an_export_of_what_is_new(
    desk: Desk, capfd: pytest.CaptureFixture[str], after: int, lines: int
) -> None:
    """The rows behind a number, the first of them with the hash of the row of that number."""
    assert desk.run("export", "--after", str(after)) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]

    assert len(rows) == lines
    if after and lines:
        assert rows[0]["previous"] == hash_of(desk, after)


def broken_pipe() -> int:
    """Return a pipe that nobody reads, as behind ``| head -1``."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def full_disk() -> int:
    """Return a file that takes nothing."""
    return os.open("/dev/full", os.O_WRONLY)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "said"),
    [(broken_pipe, ""), (full_disk, "espm: No space left on device\n")],
)
def test_what_cannot_be_written_ends_without_traceback(
    desk: Desk, target: Callable[[], int], said: str
) -> None:
    """A reader that goes away needs no word, a full disk one line; the exit code is not 0."""
    with os.fdopen(target(), "wb") as out:
        done = subprocess.run(
            desk.argv("export"),
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            check=False,
        )

    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.slow
def test_a_terminal_sees_how_far_it_is(desk: Desk) -> None:
    """A line that is gone in the end, also when a row does not fit."""
    ours, theirs = pty.openpty()
    done = subprocess.run(
        desk.argv("verify"), stdout=subprocess.PIPE, stderr=theirs, text=True, cwd=ROOT, check=False
    )
    os.close(theirs)
    shown = os.read(ours, 1000).decode()
    os.close(ours)

    assert done.stdout.startswith("the audit log is whole")
    assert re.fullmatch(rf"(\rrow \d+ of {CHANGES})+\r\x1b\[K", shown)


@pytest.mark.slow
def test_nobody_waits_for_the_reader_nor_it_for_others(desk: Desk) -> None:
    """While another transaction writes the log can be read, and nothing is written."""
    before = desk.database.read_bytes()
    with closing(sqlite3.connect(desk.database, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        done = subprocess.run(desk.argv("verify"), cwd=ROOT, timeout=20, check=False)
        writer.execute("ROLLBACK")

    assert done.returncode == 0
    assert desk.database.read_bytes() == before


def test_there_must_be_a_ledger(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without one, exit code 78 and what to run."""
    text = desk.ini.read_text().replace(str(desk.database), str(tmp_path / "none.db"))
    ini = tmp_path / "espm.ini"
    ini.write_text(text)
    ini.chmod(0o600)

    for verb in ("verify", "export"):
        assert command.main(["audit", verb, "-c", str(ini)]) == 78
        assert "espm_setup --upgrade" in capsys.readouterr().err
