"""schemathesis against a running espm: whatever a request is, the contract has the answer.

``make test`` runs 2,000 cases, ``make torture`` 20,000.
ESPM_FUZZ_SEED takes another walk; a failure prints the seed that it had.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.api.platform import PSK
from tests.api.process import REPOSITORY, site_with_puppet
from tests.torture.results import FULL, Result, say, share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.process import Site
    from tests.fake_puppet import FakePuppet

FUZZ = Path(__file__).with_name("fuzz")
SEED = os.environ.get("ESPM_FUZZ_SEED", "1")

#: How many cases a run has at least, and how many of each operation make up for that.
CASES, EACH = share(2_000, 20_000), share(70, 1_300)

PHASES = "examples,coverage,fuzzing,stateful"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Site, FakePuppet]]:
    """An espm that lets its platform do everything, beside a healthy fake Puppet."""
    with site_with_puppet(tmp_path) as (site, puppet):
        site.sample.platform(environments="*", extensions="*")
        site.sample.write()
        yield site, puppet


def fuzz(site: Site) -> Any:
    """Run schemathesis and return its report, having checked that it found nothing."""
    report = site.directory / "report.json"
    command = [
        Path(sys.executable).with_name("schemathesis"),
        *("--config-file", FUZZ / "schemathesis.toml", "run", "--no-color"),
        *(f"{site.client().url}/v1/openapi.json", "--seed", SEED, "-n", str(EACH)),
        *("--phases", PHASES),
        *("--report", "json", "--report-json-path", report),
    ]
    ran = subprocess.run(
        [str(word) for word in command],
        check=False,
        cwd=site.directory,
        capture_output=True,
        text=True,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONDONTWRITEBYTECODE": "1",
            "ESPM_FUZZ_HOOKS": str(FUZZ / "hooks.py"),
            "ESPM_FUZZ_CA": site.client().ca_file,
            "ESPM_FUZZ_PSK": PSK,
        },
    )
    found = json.loads(report.read_text()) if report.exists() else {}
    if found:
        cases = found["test_cases"]
        say(f"{cases['generated']} requests generated, {cases['with_failures']} with faults")
        fault = "requests made by schemathesis, from right to absurd"
        Result(fault, "fake CA", cases["generated"], cases["with_failures"]).keep()
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr[-5_000:]
    return found


@pytest.mark.slow
@pytest.mark.timing
@pytest.mark.torture
@pytest.mark.timeout(7200 if FULL else 900)
def test_the_contract_has_every_answer(world: tuple[Site, FakePuppet]) -> None:
    """No request, however odd, gets an answer that the contract does not have, and no 5xx."""
    site, puppet = world
    with site.serving() as daemon:
        report = fuzz(site)
        assert report["test_cases"]["generated"] >= CASES
        assert report["operations"]["tested"] == report["operations"]["total"]
        assert report["errors"] == []
        _retire_all(site, puppet)
        said = daemon.out.text
    assert " ERROR " not in said
    assert "Traceback" not in said


def _retire_all(site: Site, puppet: FakePuppet) -> None:
    """Check that all that was done can be undone: nothing valid, nothing classified is left."""
    cloud = site.client()
    while nodes := cloud.get("/v1/nodes?limit=1000").json()["nodes"]:
        for node in nodes:
            assert cloud.call("DELETE", f"/v1/nodes/{node['certname']}").status_code == 204
    assert list(site.enc.glob("*.json")) == []
    assert puppet.ca.issued == {}
    assert puppet.ca.requests == {}
