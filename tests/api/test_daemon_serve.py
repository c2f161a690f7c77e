"""The running daemon: what it says, what it keeps to itself, what it lets others do beside it."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.api.platform import PSK
from tests.api.process import Daemon, Site, espm, site_with_puppet
from tests.api.test_nodes import slug

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

    from tests.fake_puppet import FakePuppet

pytestmark = pytest.mark.slow

STAMP = r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d\]"

#: With 8 threads, a quarter may wait.
PLACES = 2


@pytest.fixture(scope="module")
def site_and_puppet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, FakePuppet]]:
    """A site beside a fake Puppet."""
    with site_with_puppet(tmp_path_factory.mktemp("serve")) as made:
        yield made


@pytest.fixture(scope="module")
def site(site_and_puppet: tuple[Site, FakePuppet]) -> Site:
    """The site of the daemon."""
    return site_and_puppet[0]


@pytest.fixture(scope="module")
def puppet(site_and_puppet: tuple[Site, FakePuppet]) -> FakePuppet:
    """The fake Puppet."""
    return site_and_puppet[1]


@pytest.fixture(scope="module")
def daemon(site: Site) -> Iterator[Daemon]:
    """A daemon that all tests here share; it says nothing on standard error to its end."""
    with site.serving() as running:
        yield running
        assert running.stop() == 0
        assert running.err.text == ""


def test_the_bus_speaks_in_cherrypys_usual_form(daemon: Daemon, site: Site) -> None:
    """A supervisor's log shows each step of the start, in CherryPy's order."""
    said = [line.partition("] ")[2] for line in daemon.out.lines if " ENGINE " in line]
    serving = f"ENGINE Serving on https://127.0.0.1:{site.port}"
    steps = [said.index(step) for step in ("ENGINE Bus STARTING", serving, "ENGINE Bus STARTED")]

    assert {"ENGINE Listening for SIGHUP.", "ENGINE Listening for SIGTERM."} <= set(said)
    assert steps == sorted(steps)
    assert all(re.match(STAMP + " ", line) for line in daemon.out.lines)


def test_each_request_is_one_line_with_its_id(daemon: Daemon, site: Site) -> None:
    """Who, what, how it ended, how long it took, and the id that the caller was told."""
    told = site.client().get("/v1/nodes", headers={"X-Request-Id": "given-1"})
    line = daemon.out.wait_for(" given-1 ")

    assert told.headers["X-Request-Id"] == "given-1"
    assert re.fullmatch(
        STAMP + r' INFO espm\.api\.app given-1 127\.0\.0\.1 cloud "GET /v1/nodes" 200 \d+ ms', line
    )
    assert len([each for each in daemon.out.lines if " given-1 " in each]) == 1


def test_a_path_cannot_forge_a_line(daemon: Daemon, site: Site) -> None:
    """Line breaks in a path, whatever follows them, stay on the request's own line."""
    for path in ("/x%0A[forged]", "/x%0ATraceback forged", "/x%0A  forged", "/x%0D%0Aforged"):
        site.client().get(path, headers={"X-Request-Id": "forger"})
    site.client().get("/healthz", headers={"X-Request-Id": "honest"})
    daemon.out.wait_for(" honest ")

    assert [line for line in daemon.out.lines if "forge" in line and " forger " not in line] == []


def test_no_secret_is_printed(daemon: Daemon, site: Site, puppet: FakePuppet) -> None:
    """Preshared keys, private keys and what was sent as a key are never on any stream."""
    added = site.client().add("secret.example.com", certificate={})
    site.client("wrong-" + PSK[:20]).get("/v1/nodes")
    site.client().get("/v1/nodes?" + PSK)
    with_secret = site.client().add("bad.example.com", parameters={"password-x": "hunter2"})
    site.client().get("/healthz", headers={"X-Request-Id": "after-secrets"})
    daemon.out.wait_for(" after-secrets ")
    printed = daemon.out.text + daemon.err.text

    assert (added.status_code, with_secret.status_code) == (201, 422)
    for secret in (PSK[:20], "hunter2", added.json()["certificate"]["private_key"][40:80]):
        assert secret not in printed
    assert "PRIVATE KEY" not in printed


def test_what_the_process_leaves_is_for_nobody_else(daemon: Daemon) -> None:
    """The umask is 077, there is no core, and the soft limit of open files is the hard one."""
    process = Path("/proc") / str(daemon.process.pid)
    status = (process / "status").read_text()
    limits = {
        line[:26].strip(): line[26:].split()[:2]
        for line in (process / "limits").read_text().splitlines()
    }
    soft, hard = limits["Max open files"]

    assert "Umask:\t0077\n" in status
    assert limits["Max core file size"] == ["0", "0"]
    assert soft == hard


def logged_head(daemon: Daemon) -> str:
    """Return the head that the daemon logged first, as ``espm audit verify`` takes it."""
    line = daemon.out.wait_for(" audit 1 ")
    number, hash_ = line.partition(" audit ")[2].split()[:2]
    return f"{number}:{hash_}"


@pytest.fixture(scope="module")
def beside(daemon: Daemon, site: Site) -> dict[str, CompletedProcess[str]]:
    """The outcome of each command that an administrator runs beside the daemon."""
    site.client().add("copied.example.com")
    there = site.directory / "there.db"
    there.write_text("precious")
    commands = {
        "start": ("-c", site.ini),
        "rebuild": ("enc", "rebuild", "-c", site.ini),
        "backup": ("backup", str(site.directory / "copy.db"), "-c", site.ini),
        "overwrite": ("-c", site.ini, "backup", str(there)),
        "check": ("check", "--json", "-c", site.ini),
        "audit": ("audit", "verify", "--head", logged_head(daemon), "-c", site.ini),
    }
    with ThreadPoolExecutor() as pool:
        return dict(zip(commands, pool.map(lambda it: espm(*it), commands.values()), strict=True))


def test_a_second_start_names_the_holder(
    daemon: Daemon, site: Site, beside: dict[str, CompletedProcess[str]]
) -> None:
    """Exit code 75, one line, and the first one goes on."""
    second = beside["start"]

    assert second.returncode == 75
    assert re.fullmatch(
        rf"espm: another espm works on this ledger: pid {daemon.process.pid} on \S+, since .+\n",
        second.stderr,
    )
    assert second.stdout == ""
    assert site.client().get("/healthz").status_code == 200


def test_the_documents_are_not_rebuilt_under_a_running_daemon(
    daemon: Daemon, beside: dict[str, CompletedProcess[str]]
) -> None:
    """``espm enc rebuild`` ends with 75 and the same line as a second start."""
    done = beside["rebuild"]

    assert (done.returncode, done.stdout) == (75, "")
    assert f"pid {daemon.process.pid} on " in done.stderr


def test_the_ledger_is_copied_while_the_daemon_runs(
    site: Site, beside: dict[str, CompletedProcess[str]]
) -> None:
    """The copy is a whole ledger, and for nobody else."""
    copy = site.directory / "copy.db"
    with closing(sqlite3.connect(copy)) as ledger:
        names = [row[0] for row in ledger.execute("SELECT certname FROM nodes")]

    assert (beside["backup"].returncode, beside["backup"].stderr) == (0, "")
    assert "copied.example.com" in names
    assert copy.stat().st_mode & 0o077 == 0


def test_the_audit_log_has_what_the_daemon_logged(
    daemon: Daemon, beside: dict[str, CompletedProcess[str]]
) -> None:
    """It is verified while the daemon runs; each line tells the request behind the change."""
    line = daemon.out.wait_for("add copied.example.com done platform cloud")
    found = re.fullmatch(rf"{STAMP} INFO espm.audit (\S+) audit .* request (\S+)", line)

    assert found
    assert found[1] == found[2]
    assert (beside["audit"].returncode, beside["audit"].stderr) == (0, "")
    assert beside["audit"].stdout.startswith("the audit log is whole: rows ")


def test_a_backup_writes_over_nothing(site: Site, beside: dict[str, CompletedProcess[str]]) -> None:
    """A file that is there already is left alone, and one line says so."""
    refused = beside["overwrite"]

    assert refused.returncode != 0
    assert refused.stderr.startswith("espm: ")
    assert len(refused.stderr.splitlines()) == 1
    assert (site.directory / "there.db").read_text() == "precious"


def test_a_check_is_for_scripts_too(beside: dict[str, CompletedProcess[str]]) -> None:
    """``espm check --json`` prints findings, and its exit code says whether any of them failed."""
    done = beside["check"]
    found = {each["subject"]: each["state"] for each in json.loads(done.stdout)}

    assert done.stderr == ""
    assert (found["config"], found["ledger"], found["CA"]) == ("ok",) * 3
    assert done.returncode == int("FAIL" in {each["state"] for each in json.loads(done.stdout)})


@pytest.mark.timing
def test_the_gate_keeps_the_rest_fast(daemon: Daemon, site: Site, puppet: FakePuppet) -> None:
    """With every waiting place taken, the next is told so at once, and nobody else notices."""
    with ThreadPoolExecutor(PLACES) as pool:
        with puppet.holding("PUT certificate_request") as hold:
            waiting = [
                pool.submit(site.client().add, f"slow{n}.example.com", certificate={})
                for n in range(PLACES)
            ]
            hold.reached(PLACES)
            begun = time.monotonic()
            refused = site.client().add("late.example.com")
            listed = site.client().get("/v1/nodes")
            alive = site.client(None).get("/healthz")
            took = time.monotonic() - begun
        added = [each.result().status_code for each in waiting]

    assert (refused.status_code, slug(refused)) == (503, "too-busy")
    assert int(refused.headers["Retry-After"]) > 0
    assert (listed.status_code, alive.status_code) == (200, 200)
    assert took < 5
    assert added == [201] * PLACES
    assert site.client().add("late.example.com").status_code == 201
