"""Whatever was done to the audit log behind espm's back is found, and where."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from espm.ledger import Head, audit, backup, chain, open_chain, open_ledger, upgrade
from espm.ledger.schema import audit as rows_of_audit
from espm.ledger.schema import audit_head
from espm.model import IntentKind
from tests.contract.lives import PLAIN, WEB, active, begin, connected, delete, make_older
from tests.contract.test_ledger_audit import fault, outline, told

if TYPE_CHECKING:
    from espm.ledger import SqlLedger

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ROWS = 8

_RENUMBER = "UPDATE audit SET number = number - 1 WHERE number > 4"
_SWAP = [
    "UPDATE audit SET number = 100 WHERE number = 4",
    "UPDATE audit SET number = 4 WHERE number = 5",
    "UPDATE audit SET number = 5 WHERE number = 100",
]
_COPY = """INSERT INTO audit (number, at, platform, action, certname, generation, outcome, hash)
SELECT {number}, at, platform, action, certname, generation, outcome, hash FROM audit
WHERE number = 8"""

# What is done, and which row is named.
TAMPERING: dict[str, tuple[list[str], str]] = {
    **{
        f"{column} changed": (
            [f"UPDATE audit SET {column} = {value} WHERE number = 4"],
            r"row 4 \(",
        )
        for column, value in {
            "at": "'2026-11-21T04:20:20.123456Z'",
            "platform": "'other'",
            "action": "'issue'",
            "certname": "'other.example.com'",
            "generation": "77",
            "serial": "'D'",
            "fingerprint": "'f0'",
            "request_id": "NULL",
            "outcome": "'undone'",
            "hash": "'f0'",
        }.items()
    },
    "first changed": (["UPDATE audit SET platform = 'x' WHERE number = 1"], r"row 1 \("),
    "last changed": (["UPDATE audit SET platform = 'x' WHERE number = 8"], r"row 8 \("),
    "removed": (["DELETE FROM audit WHERE number = 4"], "row 4 is missing: row 5 comes behind"),
    "first removed": (["DELETE FROM audit WHERE number = 1"], "row 1 is missing"),
    "removed and numbered anew": (["DELETE FROM audit WHERE number = 4", _RENUMBER], r"row 4 \("),
    "reordered": (_SWAP, r"row 4 \("),
    "cut off": (["DELETE FROM audit WHERE number > 6"], "row 7 is missing: the head is row 8"),
    "emptied": (["DELETE FROM audit"], "row 1 is missing: the head is row 8"),
    "forged behind the head": ([_COPY.format(number=9)], r"row 9 \("),
    "forged far behind": ([_COPY.format(number=50)], "row 9 is missing"),
    "forged before the first": ([_COPY.format(number=0)], "row 0 does not belong to it"),
    "forged long before": ([_COPY.format(number=-5)], "row -5 does not belong to it"),
    "head set back": (
        ["UPDATE audit_head SET number = 6, hash = (SELECT hash FROM audit WHERE number = 6)"],
        "row 7 is not covered by the head, which is row 6",
    ),
    "head set forward": (["UPDATE audit_head SET number = 9"], "row 9 is missing"),
    "head changed": (["UPDATE audit_head SET hash = 'f0'"], "row 8 is not the head"),
    "head removed": (["DELETE FROM audit_head"], "the head is missing; the last row is number 8"),
}


def fill(ledger: SqlLedger) -> None:
    """Give the ledger a log of eight rows."""
    node = active(ledger)
    for version in range(2, 7):
        node = ledger.change(begin(ledger, node, IntentKind.CHANGE), PLAIN, version)
    delete(ledger, node)


def run(url: str, *statements: str) -> None:
    """Do something to the database, looking past espm."""
    with connected(url) as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def restore_head(url: str) -> None:
    """Give the tests of the same database a head again, should it have been removed."""
    with connected(url) as connection:
        connection.execute(audit_head.delete())
        row = {"ident": 1, "number": 0, "hash": audit.GENESIS}
        connection.execute(audit_head.insert(), row)


def look(url: str, logged: Head | None = None) -> str | None:
    """Return what is wrong with the log, given a head that was logged."""
    with open_chain(url) as log:
        end, head = log.ends()
        return chain.fault(log.rows(until=end), head, logged)


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_is_found_where_it_was_done(ledger: SqlLedger, url: str, name: str) -> None:
    """The first row that does not fit is named."""
    statements, said = TAMPERING[name]
    fill(ledger)
    assert fault(url) is None
    try:
        run(url, *statements)

        assert re.match(said, fault(url) or "it is whole"), fault(url)
    finally:
        restore_head(url)


@pytest.mark.parametrize("value", ["X'ff00'", "CAST(X'ff' AS TEXT)", "3.5", "CAST(X'00' AS TEXT)"])
def test_what_is_no_text_at_all_is_found(sqlite_url: str, value: str) -> None:
    """SQLite takes bytes and broken UTF-8 in any column; reading them is no failure."""
    with open_ledger(sqlite_url) as ledger:
        fill(ledger)
    run(sqlite_url, f"UPDATE audit SET request_id = {value} WHERE number = 4")

    assert str(fault(sqlite_url)).startswith("row 4 (")
    with open_chain(sqlite_url) as log:
        assert len(list(log.export())) == ROWS


def test_a_row_with_a_hash_that_fits_is_found_by_the_next(ledger: SqlLedger, url: str) -> None:
    """Whoever knows how hashes are made must make all that follow anew."""
    fill(ledger)
    rows = told(url)
    forged = {**rows[3], "platform": "other"}
    hash_ = audit.digest(forged, rows[2]["hash"])
    run(url, f"UPDATE audit SET platform = 'other', hash = '{hash_}' WHERE number = 4")

    assert str(fault(url)).startswith("row 5 (")


def test_an_end_that_was_cut_off_is_found_by_a_logged_head(ledger: SqlLedger, url: str) -> None:
    """Rows and head are those of a moment ago: only what was logged since tells."""
    fill(ledger)
    heads = [Head(row["number"], row["hash"]) for row in told(url)]
    run(
        url,
        "DELETE FROM audit WHERE number > 6",
        "UPDATE audit_head SET number = 6, hash = (SELECT hash FROM audit WHERE number = 6)",
    )

    assert fault(url) is None
    assert [look(url, head) is None for head in heads] == [True] * 6 + [False] * 2
    assert f"the head 8:{heads[7].hash}, which was logged, is not among its 6 rows" in str(
        look(url, heads[7])
    )


def test_a_chain_that_was_made_anew_is_found_by_a_logged_head(ledger: SqlLedger, url: str) -> None:
    """The same rows but for one word: no hash behind it is the one that was logged."""
    fill(ledger)
    rows, previous = told(url), audit.GENESIS
    heads = [Head(row["number"], row["hash"]) for row in rows]
    for row in rows:
        row["outcome"] = "undone" if row["number"] == 4 else row["outcome"]
        previous = row["hash"] = audit.digest(row, previous)
    with connected(url) as connection:
        connection.execute(rows_of_audit.delete())
        connection.execute(rows_of_audit.insert(), rows)
        connection.execute(audit_head.update().values(hash=previous))

    assert fault(url) is None
    assert [look(url, head) is None for head in heads] == [True] * 3 + [False] * 5


def test_a_head_may_be_named_by_its_hash_alone(ledger: SqlLedger, url: str) -> None:
    """With a number, it has to be the row of that number."""
    fill(ledger)
    hash_ = told(url)[4]["hash"]

    assert look(url, Head(None, hash_)) is None
    assert look(url, Head(5, hash_)) is None
    assert str(look(url, Head(6, hash_))).startswith(f"the head 6:{hash_}")
    assert str(look(url, Head(None, "0" * 64))).startswith(f"the head {'0' * 64}")


def test_an_empty_log_is_whole(url: str) -> None:
    """Before the first change there is nothing but a head."""
    with open_chain(url) as log:
        assert log.ends() == (0, Head(0, audit.GENESIS))
        assert list(log.export()) == []
    assert fault(url) is None


def test_a_long_log_is_read_in_parts(
    ledger: SqlLedger, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the parts meet no row is lost or seen twice."""
    fill(ledger)
    for size in (1, 3, 4, 8, 9):
        monkeypatch.setattr(chain, "_BATCH", size)
        with open_chain(url) as log:
            assert [row["number"] for row in log.rows()] == list(range(1, 9))
            assert [row["number"] for row in log.rows(until=6)] == list(range(1, 7))
            assert len(list(log.export(after=3))) == 5


def test_what_is_added_meanwhile_is_no_fault(ledger: SqlLedger, url: str) -> None:
    """A log is verified up to the head that it had at the beginning."""
    fill(ledger)
    with open_chain(url) as log:
        end, head = log.ends()
        active(ledger, "meanwhile")

        assert chain.fault(log.rows(until=end), head) is None


def shown(language: str) -> str:
    """Return the block in a language that the documentation of the audit log has."""
    page = (ROOT / "docs/administration.md").read_text().partition("\n## The audit log\n")[2]
    [block] = re.findall(rf"(?ms)^```{language}\n(.*?)^```$", page.partition("\n## ")[0])
    return str(block)


def independent(lines: list[bytes], tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run the program that the documentation shows on an export."""
    (tmp_path / "verify.py").write_text(shown("python"))
    return subprocess.run(
        [sys.executable, "-IS", tmp_path / "verify.py"],
        input=b"".join(line + b"\n" for line in lines).decode(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_export_can_be_verified_without_espm(
    ledger: SqlLedger, url: str, tmp_path: Path
) -> None:
    """The ten lines in the documentation find the same head, and any change."""
    fill(ledger)
    active(ledger, "last", platform='clöud "1" \\ \x7f \U0001f600')
    with open_chain(url) as log:
        lines, (end, head) = list(log.export()), log.ends()

    whole = independent(lines, tmp_path)
    assert (whole.returncode, whole.stdout) == (0, f"{head}\n")
    assert end == ROWS + 1
    part = independent(lines[3:], tmp_path)
    assert (part.returncode, part.stdout) == (0, f"{head}\n")
    for broken in (
        [*lines[:3], *lines[4:]],
        [*lines[:3], lines[4], lines[3], *lines[5:]],
        [*lines[:3], lines[3].replace(b"done", b"undone"), *lines[4:]],
    ):
        assert independent(broken, tmp_path).returncode == 1


def test_the_line_that_is_shown_is_a_row(ledger: SqlLedger, url: str, tmp_path: Path) -> None:
    """The documentation's own example has every member and a hash that is right."""
    active(ledger)
    with open_chain(url) as log:
        [line] = log.export()
    done = independent([shown("json").strip().encode()], tmp_path)

    assert json.loads(shown("json")).keys() == json.loads(line).keys()
    assert done.returncode == 0
    assert done.stdout.strip() in (ROOT / "docs/administration.md").read_text()


def test_a_line_is_canonical_itself(ledger: SqlLedger, url: str) -> None:
    """What the hash is of is the line just as it is exported, but for the hash."""
    fill(ledger)
    with open_chain(url) as log:
        last = list(log.export())[-1]
    members = re.sub(rb',"hash":"[0-9a-f]{64}"', b"", last)

    assert hashlib.sha256(members).hexdigest() == told(url)[-1]["hash"]


def test_a_backup_has_the_same_log(sqlite_url: str, tmp_path: Path) -> None:
    """Row by row, and the head; what is done afterwards is not in it."""
    with open_ledger(sqlite_url) as ledger:
        fill(ledger)
        backup(sqlite_url, tmp_path / "saved.db")
        rows = told(sqlite_url)
        active(ledger, "later")

    saved = f"sqlite:///{tmp_path}/saved.db"
    assert told(saved) == rows
    assert fault(saved) is None
    assert look(saved, Head(9, told(sqlite_url)[-1]["hash"])) is not None


def test_the_log_of_an_older_ledger_begins_with_the_upgrade(empty_url: str) -> None:
    """Nodes from before stay, nothing is told of their past, and what is done to them is."""
    make_older(empty_url, "0001", "active")

    upgrade(empty_url)

    assert told(empty_url) == []
    with open_ledger(empty_url) as ledger:
        delete(ledger, ledger.node("cloud", WEB))
    assert outline(empty_url) == [("delete", "begun", "r-2"), ("delete", "done", "r-2")]
    assert fault(empty_url) is None
