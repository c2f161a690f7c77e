"""The daemon's metrics: on its own port with a key, on the loopback without."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import requests

from tests.api.platform import PSK
from tests.api.process import Site, digest, site_with_puppet
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.api.process import Daemon

pytestmark = pytest.mark.slow

MONITORING = "m" * 48
_IN_AN_HOUR = datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site with a platform that only watches, and a port on the loopback."""
    with site_with_puppet(tmp_path) as (made, _):
        made.sample.set("server", metrics_port=str(free_port()))
        made.sample.platform(
            "monitoring", psk_sha256=digest(MONITORING), certnames=",", groups=",", classes=","
        )
        made.sample.write()
        yield made


def plain(site: Site, path: str) -> requests.Response:
    """Ask on the loopback."""
    port = site.sample.sections["server"]["metrics_port"]
    with requests.Session() as session:
        session.trust_env = False
        return session.get(f"http://127.0.0.1:{port}{path}", timeout=20)


def value(text: str, sample: str) -> float:
    """Return a sample's value."""
    found = re.search(rf"(?m)^{re.escape(sample)} (\S+)$", text)
    assert found, text
    return float(found[1])


def test_both_ways_tell_the_same(site: Site) -> None:
    """A platform that may have no node reads them with its key, the host itself without."""
    with site.serving() as daemon:
        watcher = site.client(MONITORING)
        keyed = watcher.get("/metrics")
        refused = watcher.add("web1.example.com")
        local, ready = plain(site, "/metrics"), plain(site, "/readyz")
        _the_end_of_a_renewed_certificate_is_told(site, daemon, local.text)
        code = daemon.stop()
        said = daemon.out.text

    assert (keyed.status_code, local.status_code, ready.status_code) == (200, 200, 200)
    assert refused.status_code == 403
    for sample in ('espm_up{part="ca"}', 'espm_up{part="ledger"}', "espm_connections"):
        assert value(keyed.text, sample) == value(local.text, sample) == 1
    assert value(local.text, "espm_jobs_waiting") == 0
    assert value(local.text, 'espm_certificate_not_after_timestamp_seconds{certificate="client"}')
    assert code == 0
    assert PSK not in local.text
    assert "ENGINE Bus STARTED" in said


def _the_end_of_a_renewed_certificate_is_told(site: Site, daemon: Daemon, before: str) -> None:
    """See that a reload brings the new certificate's end."""
    sample = 'espm_certificate_not_after_timestamp_seconds{certificate="server"}'
    assert value(before, sample) > time.time()
    soon = site.authority.issue_cert("127.0.0.1", not_after=_IN_AN_HOUR)
    soon.cert_chain_pems[0].write_to_path(site.directory / "server.pem")
    soon.private_key_pem.write_to_path(site.sample.server_key)
    daemon.reload()

    assert value(plain(site, "/metrics").text, sample) == int(_IN_AN_HOUR.timestamp())
