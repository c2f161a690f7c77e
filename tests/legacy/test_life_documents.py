"""The life of a node with espm's own ENC and the CA of ``puppet cert``: Puppet 4 and 5."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.api.process import REPOSITORY, espm, site_with_puppet
from tests.legacy.old_ca import OldCa, old_ca
from tests.legacy.old_site import story, todays_story
from tests.legacy.puppet_lab import revoked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.api.process import Site

NAME = "docs1.example.com"
_TAKEN = "taken.example.com"


@pytest.fixture
def old(tmp_path: Path) -> OldCa:
    """Return the CA of the last Puppet that has ``puppet cert``."""
    made = old_ca(tmp_path, "5.5.22")
    made.tree.cert("generate", "--", _TAKEN)
    return made


@pytest.fixture
def site(old: OldCa, tmp_path: Path) -> Iterator[Site]:
    """Return an espm beside a Puppet Server that knows the classes, and that CA."""
    directory = tmp_path / "espm"
    directory.mkdir()
    with site_with_puppet(directory) as (made, _):
        made.sample.set("ca", backend="puppet_cert")
        made.sample.set("puppet_cert", tools=str(old.helper), sudo="no")
        made.sample.write()
        yield made


def enc(site: Site, name: str) -> tuple[int, str]:
    """Return how ``espm_enc`` ends for a node, and what it says to Puppet."""
    argv = ["/bin/sh", str(REPOSITORY / "etc/espm_enc"), "-d", str(site.enc), name]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout


@pytest.mark.slow
@pytest.mark.timing
def test_a_node_lives_with_a_document_and_a_certificate_of_puppet_cert(
    site: Site, old: OldCa
) -> None:
    """Launched, classified anew and retired; then the CRL has its serial, and nothing is left."""
    path = f"/v1/nodes/{NAME}"
    before = enc(site, NAME)
    with site.serving() as daemon:
        client = site.client()
        added = client.add(NAME, groups=["web"], certificate={})
        first = enc(site, NAME)
        changed = client.call("PUT", path, json={"groups": ["base"], "environment": "production"})
        second = enc(site, NAME)
        certified = old.ca.joinpath("signed", f"{NAME}.pem").exists()
        checked = espm("check", "-c", site.ini)
        gone = client.call("DELETE", path, headers={"Prefer": "wait=30"})
        assert daemon.err.text == ""

    assert (added.status_code, changed.status_code, gone.status_code) == (201, 200, 204)
    assert certified
    assert [status for status, _ in (first, second)] == [0, 0]
    assert sorted(json.loads(first[1])["classes"]) == ["ntp", "profile::web"]
    assert sorted(json.loads(second[1])["classes"]) == ["ntp"]
    assert before == enc(site, NAME) == (0, "{}\n")
    assert "its own certificate is the command's" in checked.stdout
    assert int(added.json()["certificate"]["serial"], 16) in revoked(old.tree)
    assert [path.name for path in old.tree.ssldir.rglob(f"{NAME}*")] == []


@pytest.mark.slow
@pytest.mark.timing
def test_platforms_see_no_difference(site: Site, old: OldCa, tmp_path: Path) -> None:
    """Each request of a node's life has the status and the problem that it has with today's CA."""
    with site.serving():
        told = story(site.client())

    assert told == todays_story(tmp_path / "new")
    assert [path.name for path in old.tree.ssldir.rglob("life.*")] == []
    assert len(set(revoked(old.tree))) == 3
