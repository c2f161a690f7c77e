"""The daemon does all its work under the unit of systemd, and writes only where that lets it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.api.process import REPOSITORY, STARTED, Daemon, Site, site_with_puppet
from tests.conftest import absent
from tests.live.user import UNPRIVILEGED, importable, interpreter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.slow

UNIT = REPOSITORY / "etc/espm.service"
NAME, OLD = "web.example.com", "old.example.com"
ROOT = os.geteuid() == 0

#: Nobody else's in the run, so that every file that belongs to it was made by this daemon.
USER = 60_000 + os.getpid() % 5_000 if ROOT else os.geteuid()

#: Where every user may write, and so where something may be left that nobody looks for.
OPEN = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A site as espm_setup makes it for a user of its own, with an ENC that was there before."""
    if not shutil.which("systemd-analyze"):
        absent("systemd-analyze is not here (Debian package: systemd)")
    if subprocess.run(["/usr/bin/python3", "-c", "import seccomp"], check=False).returncode:
        absent("Python's seccomp is not here (Debian package: python3-seccomp)")
    with (
        tempfile.TemporaryDirectory(prefix="espm-unit-") as name,
        site_with_puppet(Path(name)) as (made, _),
    ):
        Path(name).chmod(0o755)
        _hand_over(made)
        yield made


def _hand_over(site: Site) -> None:
    var, fallback = site.directory / "var", site.directory / "old-enc"
    var.mkdir()
    (site.directory / "ledger.db").rename(var / "ledger.db")
    fallback.write_text(f"#!/bin/sh\n[ $1 = {OLD} ] && echo '{{classes: [motd]}}' || echo '{{}}'\n")
    fallback.chmod(0o755)
    site.sample.set("ledger", url=f"sqlite:///{var}/ledger.db")
    site.sample.set("builtin", fallback=str(fallback))
    site.sample.write()
    if ROOT:
        for path in (var, var / "ledger.db", site.enc, *site.enc.iterdir()):
            os.chown(path, USER, USER)
    for secret in (Path(site.ini), site.sample.server_key, site.sample.puppet_key):
        os.chown(secret, -1, USER if ROOT else -1)
        secret.chmod(0o640)


@pytest.fixture(scope="module")
def library(site: Site) -> Iterator[tuple[str, int]]:
    """Where that user has espm, this test's sandbox and the unit from."""
    place = site.directory / "lib"
    with importable(place) as found:
        shutil.copy(REPOSITORY / "tests/sandbox.py", place)
        shutil.copy(UNIT, place)
        yield found


@contextmanager
def _serving(site: Site, library: tuple[str, int]) -> Iterator[Daemon]:
    """Run the daemon as a user of its own under the unit's filters."""
    (path, descriptor), place = library, site.directory / "lib"
    user = {"user": USER, "group": USER, "extra_groups": ()} if ROOT else {}

    class Sandboxed(Daemon):
        command = ("/usr/bin/python3", "-B", str(place / "sandbox.py"), str(place / "espm.service"))
        options: Mapping[str, Any] = {"cwd": "/", "pass_fds": (descriptor,), **user}

    espm = (interpreter(UNPRIVILEGED), "-B", "-m", "espm", "-c", site.ini)
    with Sandboxed(*espm, PYTHONPATH=path) as daemon:
        daemon.out.wait_for(STARTED)
        yield daemon


def _life(site: Site, daemon: Daemon) -> list[int]:
    """Let espm do all that it can; return the statuses that it answered."""
    client, path = site.client(), f"/v1/nodes/{NAME}"
    answers = [
        client.add(NAME, classes={"ntp": {}}, certificate={}),
        client.call("PUT", path, json={"groups": ["web"]}),
        client.call("DELETE", f"{path}/certificate"),
        client.call("POST", f"{path}/certificate", json={}),
        client.add(OLD),  # Only the program of the old ENC knows that it is taken.
        client.get("/v1/classes", params={"environment": "production"}),
        client.get("/v1/crl"),
        client.get("/readyz"),
        client.call("DELETE", path),
    ]
    daemon.reload()
    return [answer.status_code for answer in answers]


def _changes(site: Site) -> dict[Path, int]:
    """Return when each file was changed that is not in the unit's ``ReadWritePaths``."""
    writable = (site.directory / "var", site.enc)
    return {
        path: path.lstat().st_ctime_ns
        for path in site.directory.rglob("*")
        if not any(path.is_relative_to(each) for each in writable)
    }


def _left_elsewhere(site: Site) -> list[str]:
    """Return what belongs to the daemon's user where everybody may write."""
    words = ["find", *OPEN, "-xdev", "-path", str(site.directory), "-prune", "-o"]
    done = subprocess.run(
        [*words, "-uid", str(USER), "-print"], check=False, capture_output=True, text=True
    )
    return done.stdout.splitlines()


def test_it_works_under_the_unit_and_writes_nowhere_else(
    site: Site, library: tuple[str, int]
) -> None:
    """Every kind of work succeeds, the program of the old ENC is run, and outside of the ledger's
    and the documents' directories no file is made or changed.
    """
    before = _changes(site)
    with _serving(site, library) as daemon:
        status = Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines()
        filters = [line for line in status if line.startswith("Seccomp_filters:")]
        statuses = _life(site, daemon)
        code = daemon.stop()

    assert filters == ["Seccomp_filters:\t2"]
    assert statuses == [201, 200, 204, 201, 409, 200, 200, 200, 204], daemon.out.text
    assert (code, daemon.err.text) == (0, "")
    assert "ERROR" not in daemon.out.text
    assert _changes(site) == before
    if ROOT:
        assert _left_elsewhere(site) == []
