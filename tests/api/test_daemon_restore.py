"""A ledger restored from a backup: what the pages say makes good what was done after it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.api.process import espm, site_with_puppet

if TYPE_CHECKING:
    from pathlib import Path

    from tests.api.platform import Client
    from tests.api.process import Site
    from tests.fakes import FakeCa

pytestmark = pytest.mark.slow

ROW = re.compile(r"audit (\d+) [0-9a-f]{64} (\w+) (\S+) (\w+)(?: serial ([0-9A-F]+))? platform")


def test_nothing_valid_is_left_that_was_signed_after_the_backup(tmp_path: Path) -> None:
    """By the log each certificate is found, also of a name that the restored ledger knows."""
    with site_with_puppet(tmp_path) as (site, puppet):
        log = _lives(site, tmp_path / "saved")
        (tmp_path / "saved").replace(tmp_path / "ledger.db")
        for suffix in ("-wal", "-shm"):
            (tmp_path / f"ledger.db{suffix}").unlink(missing_ok=True)

        _make_good(site, puppet.ca, log)

        with site.serving():
            cloud = site.client()
            for name in ("kept", "again", "deleted"):
                assert cloud.call("DELETE", f"/v1/nodes/{name}").status_code == 204
    assert {serial for _, serial in puppet.ca.ever} == puppet.ca.revoked
    assert not list(site.enc.glob("[!.]*.json"))


def _lives(site: Site, saved: Path) -> str:
    """Have nodes before and after a backup; return the log."""
    with site.serving() as daemon:
        cloud = site.client()
        for name in ("kept", "again", "deleted"):
            _launch(cloud, name)
        assert espm("backup", str(saved), "-c", site.ini).returncode == 0
        for name in ("again", "deleted"):
            assert cloud.call("DELETE", f"/v1/nodes/{name}").status_code == 204
        for name in ("again", "added"):
            _launch(cloud, name)
        assert daemon.stop() == 0
    return daemon.out.text


def _launch(cloud: Client, name: str) -> None:
    assert cloud.add(name, certificate={}).status_code == 201


def _make_good(site: Site, ca: FakeCa, log: str) -> None:
    """Do as docs/administration.md has it, before espm is started."""
    whole = espm("audit", "verify", "-c", site.ini).stdout
    (known,) = re.findall(r"rows (\d+)", whole)
    standing: dict[str, str] = {}
    for number, action, name, outcome, serial in ROW.findall(log):
        if int(number) > int(known) and outcome == "done":
            if action == "issue":
                standing[serial] = name
            elif action == "revoke":
                standing.pop(serial, None)
    assert sorted(standing.values()) == ["added", "again"]
    for name in standing.values():
        ca.revoke([name])  # type: ignore[list-item]
        ca.clean(name)  # type: ignore[arg-type]
    rebuilt = espm("enc", "rebuild", "-c", site.ini)
    assert rebuilt.returncode == 1
    assert "added" in rebuilt.stdout + rebuilt.stderr
    (site.enc / "added.json").unlink()
