"""What espm_setup changes later comes into force by SIGHUP, and old keys end by themselves."""

from __future__ import annotations

import json
import ssl
import time
from typing import TYPE_CHECKING

import pytest

from espm import config, x509
from espm_setup.__main__ import main
from tests.api.platform import PSK
from tests.api.process import Site, site_with_puppet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site beside a fake Puppet."""
    with site_with_puppet(tmp_path_factory.mktemp("rotation")) as (made, _):
        yield made


def setup(site: Site, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
    """Run espm_setup for *site* and return what it says."""
    assert main(["-d", str(site.directory), "--json", *words]) == 0
    said: dict[str, str] = json.loads(capsys.readouterr().out)
    return said


def codes(site: Site, *keys: str) -> list[int]:
    """Return how calls with these keys end."""
    return [site.client(key).get("/v1/nodes").status_code for key in keys]


def test_a_rotated_key_comes_into_force_and_the_old_one_ends(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """New after SIGHUP; both for the time of grace; then the old one never more, untouched."""
    with site.serving() as daemon:
        new = setup(site, capsys, "--rotate-psk", "cloud", "--grace", "6s")["preshared_key"]
        before = codes(site, PSK, new)
        daemon.reload()
        during = codes(site, PSK, new)
        (platform,) = config.load_platforms(site.directory / "espm.ini")
        assert platform.old_psk_until
        time.sleep(max(0, platform.old_psk_until.timestamp() - time.time()))
        after = codes(site, PSK, new)
        said = daemon.out.text

    assert (before, during, after) == ([200, 401], [200, 200], [401, 200])
    assert "that was the old key of platform cloud, over since" in said
    assert new not in said


def test_a_rotation_without_grace_and_a_platform_more(
    site: Site, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A leaked key is refused right after SIGHUP; another platform calls with its own."""
    with site.serving() as daemon:
        leaked = setup(site, capsys, "--rotate-psk", "cloud", "--grace", "0")["preshared_key"]
        daemon.reload()
        new = setup(site, capsys, "--rotate-psk", "cloud", "--grace", "0")["preshared_key"]
        other = setup(site, capsys, "--add-platform", "more", "--groups", ",")["preshared_key"]
        before = codes(site, leaked, new, other)
        daemon.reload()
        after = codes(site, leaked, new, other)
        whoami = site.client(other).get("/v1/whoami").json()

    assert (before, after) == ([200, 401, 401], [401, 200, 200])
    assert whoami["platform"] == "more"
    assert whoami["limits"]["groups"] == []


def test_a_renewed_certificate_is_shown_after_sighup(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the pin that it had."""
    key = x509.new_key()
    old = x509.self_signed(key, ["localhost"], ["127.0.0.1"], days=2)
    (site.directory / "server.pem").write_bytes(old)
    site.sample.server_key.write_bytes(x509.key_pem(key))
    with site.serving() as daemon:
        said = setup(site, capsys, "--renew-certificate")
        daemon.reload()
        shown = ssl.get_server_certificate(("127.0.0.1", site.port))

    assert shown.split() == said["certificate"].split()
    assert said["pinned_public_key"] == x509.spki_pin(old) == x509.spki_pin(shown.encode())
