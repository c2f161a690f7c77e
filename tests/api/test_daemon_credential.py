"""The daemon with a key from systemd, and an administrator's commands beside it, without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.api.process import espm, site_with_puppet

if TYPE_CHECKING:
    from pathlib import Path

    from tests.api.process import Site

pytestmark = pytest.mark.slow


def _hand_over(site: Site, directory: Path) -> None:
    credential = directory / "espm.key"
    credential.unlink(missing_ok=True)
    site.sample.server_key.rename(credential)
    credential.chmod(0o400)


def test_it_serves_and_reloads_with_a_key_from_systemd(tmp_path: Path) -> None:
    """The key is nowhere else, a reload reads what is there then, and a backup needs no key."""
    with site_with_puppet(tmp_path) as (site, _):
        site.sample.set("server", private_key="credential:espm.key")
        site.sample.write()
        directory = tmp_path / "credentials"
        directory.mkdir()
        _hand_over(site, directory)
        with site.serving(CREDENTIALS_DIRECTORY=str(directory)) as daemon:
            first = site.client().get("/v1/nodes").status_code
            copied = espm("backup", "-c", site.ini, str(tmp_path / "copy.db"))
            checked = espm("check", "-c", site.ini)
            site.certificate()
            _hand_over(site, directory)
            said = daemon.reload()
            second = site.client().get("/v1/nodes").status_code
            code = daemon.stop()

    assert (first, second, code) == (200, 200, 0)
    assert "reloaded TLS files" in said
    assert (copied.returncode, copied.stderr) == (0, "")
    assert (checked.returncode, "LoadCredential" in checked.stdout) == (78, True)
