"""``espm doctor revocations`` as a process: beside the daemon, alone, and without a CA."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.api.process import REPOSITORY, Site, espm, site_with_puppet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from espm.model import Certname
    from tests.fake_puppet import FakePuppet

pytestmark = pytest.mark.slow

COMMAND = ("doctor", "revocations")


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Site, FakePuppet]]:
    """An espm that does not run yet, beside a fake Puppet."""
    with site_with_puppet(tmp_path) as made:
        yield made


def retired_and_lost(site: Site, puppet: FakePuppet) -> int:
    """Launch and retire a node, and have the CRL forget it once it is not looked at any more."""
    with site.serving() as daemon:
        cloud = site.client()
        answer = cloud.add("gone.example.com", certificate={})
        assert cloud.call("DELETE", "/v1/nodes/gone.example.com").status_code == 204
        assert daemon.stop() == 0
    serial = int(answer.json()["certificate"]["serial"], 16)
    puppet.ca.revoked.discard(serial)
    return serial


def by_inventory(puppet: FakePuppet, serial: int) -> None:
    """Be a server that finds a serial by its inventory when there is no file of the name."""

    def revoke(_: Sequence[Certname]) -> None:
        puppet.ca.revoked.add(serial)

    puppet.ca.version = lambda: "8.2.2"  # type: ignore[method-assign]
    puppet.ca.revoke = revoke  # type: ignore[assignment, method-assign]


def test_lost_revocations_are_told_and_healed(both: tuple[Site, FakePuppet]) -> None:
    """Exit code 1 until they are healed; then 0, and 0 again."""
    site, puppet = both
    serial = retired_and_lost(site, puppet)

    told = espm(*COMMAND, "-c", site.ini)
    assert (told.returncode, told.stderr) == (1, "")
    assert f"gone.example.com serial {serial:X} of platform cloud" in told.stdout
    assert serial not in puppet.ca.revoked

    by_inventory(puppet, serial)
    healed = espm(*COMMAND, "--heal", "--json", "-c", site.ini)
    assert (healed.returncode, healed.stderr) == (0, "")
    report = json.loads(healed.stdout)
    assert ([row["certname"] for row in report["healed"]], report["lost"]) == (
        ["gone.example.com"],
        [],
    )
    assert serial in puppet.ca.revoked

    assert espm(*COMMAND, "-c", site.ini).returncode == 0


def test_it_looks_beside_the_daemon_and_heals_only_without(
    both: tuple[Site, FakePuppet],
) -> None:
    """Two that revoke side by side lose what they revoke: 75, and who has the ledger."""
    site, _ = both
    with site.serving() as daemon:
        site.client().add("live.example.com", certificate={})

        looked = espm(*COMMAND, "-c", site.ini)
        refused = espm(*COMMAND, "--heal", "-c", site.ini)

        assert (looked.returncode, looked.stderr) == (0, "")
        assert "1 certificate looked at, 0 to be revoked" in looked.stdout
        assert (refused.returncode, refused.stdout) == (75, "")
        assert f"pid {daemon.process.pid} on " in refused.stderr


def test_without_a_ca_it_ends_with_69_and_without_a_configuration_with_78(
    both: tuple[Site, FakePuppet], tmp_path: Path
) -> None:
    """One line, no traceback."""
    site, _ = both
    site.sample.set("puppet", url="https://127.0.0.1:1")
    site.sample.write()

    away = espm(*COMMAND, "-c", site.ini)
    wrong = espm(*COMMAND, "-c", str(tmp_path / "none.ini"))

    assert (away.returncode, away.stdout) == (69, "")
    assert away.stderr == "espm: Puppet's server could not be reached, or it broke off\n"
    assert wrong.returncode == 78
    assert "Traceback" not in wrong.stderr


def test_a_terminal_sees_how_far_it_is(both: tuple[Site, FakePuppet]) -> None:
    """On standard error only, and gone afterwards."""
    site, puppet = both
    retired_and_lost(site, puppet)
    primary, secondary = pty.openpty()

    done = subprocess.run(
        [sys.executable, "-m", "espm", *COMMAND, "-c", site.ini],
        check=False,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=secondary,
        text=True,
        timeout=30,
    )
    shown = os.read(primary, 65536).decode()
    os.close(primary)
    os.close(secondary)

    assert shown.startswith("\rcertificate 1 of 1")
    assert shown.endswith("\r\x1b[K")
    assert "\r" not in done.stdout
