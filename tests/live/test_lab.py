"""The private Puppet Server itself: real agents, nothing of the machine touched, nothing left."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live import credentials, lab_auth
from tests.live.agent import Agent
from tests.live.lab import Lab
from tests.live.lab_admin import LabFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.live

OF_THE_MACHINE = ("/etc/puppet", "/var/lib/puppet", "/var/lib/puppetserver", "/var/log/puppet")


@pytest.fixture
def name() -> str:
    """Return a certname that no other test uses."""
    return f"lab-{os.getpid()}-{time.monotonic_ns()}.example.com"


@pytest.fixture
def site(lab: Lab) -> Iterator[Lab]:
    """Give the lab, with a site.pp that the test may replace."""
    yield lab
    lab.site_pp("node default {}\n")


def _installed(lab: Lab, name: str) -> Agent:
    certificate, key = credentials.issue(lab, name)
    agent = Agent(lab, name)
    agent.install(
        private_key=key.decode(),
        certificate=certificate.decode(),
        ca_bundle=lab.ca_file.read_text(),
    )
    return agent


def _processes_with(text: str) -> list[str]:
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text.encode() in command.read_bytes():
                found.append(command.parent.name)
        except OSError:
            continue
    return found


def test_an_installed_agent_applies_what_site_pp_says(site: Lab, name: str, tmp_path: Path) -> None:
    """A node with ready files gets its catalog in its first run; the next changes nothing."""
    probe = tmp_path / "probe"
    site.site_pp(
        f"node '{name}' {{ class {{ 'espm_probe': path => '{probe}', content => 'seen' }} }}\n"
    )
    agent = _installed(site, name)

    first, second = agent.run(), agent.run()

    assert (first.exit_code, second.exit_code, probe.read_text()) == (2, 0, "seen"), first.output


def test_top_scope_parameters_of_an_enc_reach_the_probe(
    lab: Lab, name: str, tmp_path: Path
) -> None:
    """What set_enc names classifies nodes, with top-scope parameters."""
    motd = tmp_path / "motd"
    answer = {"parameters": {"role": "web"}, "classes": {"espm_probe::motd": {"path": str(motd)}}}
    enc = tmp_path / "enc"
    enc.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    enc.chmod(0o755)
    agent = _installed(lab, name)
    lab.set_enc(enc)
    try:
        run = agent.run()
    finally:
        lab.set_enc(None)

    assert run.changed, run.output
    assert motd.read_text() == "role web, owned by nobody, environment production\n"


def test_an_agent_with_its_own_csr_runs_once_the_native_cli_signed_it(lab: Lab, name: str) -> None:
    """A submitted CSR waits under its fingerprint; after `puppetserver ca sign` the agent runs."""
    agent = Agent(lab, name)

    agent.submit_csr()
    _, body = lab.request("GET", f"/puppet-ca/v1/certificate_status/{name}")
    fingerprint = json.loads(body)["fingerprints"]["SHA256"].replace(":", "").lower()
    submitted = agent.csr_fingerprint_sha256_of_der()
    unsigned = agent.run()
    lab.cli("ca", "sign", "--certname", name)
    signed = agent.run()

    assert fingerprint == submitted
    assert (unsigned.exit_code, signed.succeeded) == (1, True), signed.output


def test_nothing_of_the_machine_is_touched(lab: Lab, name: str) -> None:
    """Neither the server, nor the native CLI, nor an agent writes outside the scratch directory."""
    before = _state_of_the_machine()

    _installed(lab, name).run()
    lab.cli("ca", "clean", "--certname", name)

    assert before == _state_of_the_machine()


def _state_of_the_machine() -> dict[str, int]:
    return {
        str(path): path.lstat().st_mtime_ns
        for top in OF_THE_MACHINE
        for path in [Path(top), *Path(top).rglob("*")]
        if path.exists()
    }


def test_a_suspended_server_answers_nothing_until_it_is_resumed(lab: Lab) -> None:
    """suspend() is a CA that hangs, resume() ends that."""
    lab.suspend()
    try:
        with pytest.raises(TimeoutError):
            lab.request("GET", "/status/v1/simple", timeout=1)
    finally:
        lab.resume()

    assert lab.is_running()


def test_rules_at_the_head_of_auth_conf_give_rights_to_ordinary_certificates(
    lab: Lab, name: str, tmp_path: Path
) -> None:
    """An ordinary certificate may do what a rule of ours says, and nothing else."""
    cert = credentials.store(lab, name, tmp_path / "client")
    path = "/puppet/v3/environment_classes"
    before, _ = lab.request("GET", f"{path}?environment=production", cert=cert)

    others = lab.auth_conf.read_text()
    rule = lab_auth.rule(f"test of {name}", f"^{path}$", "get", name, sort_order=100)
    lab.add_auth_rules([rule])
    after, body = lab.request("GET", f"{path}?environment=production", cert=cert)
    admin, _ = lab.request("GET", f"{path}?environment=production")
    lab.auth_conf.write_text(others)
    lab.reload()

    assert (before, after, admin) == (403, 200, 403)
    assert b"espm_probe::bound" in body


def test_a_stopped_lab_leaves_no_process_and_starts_again_with_its_ca(tmp_path: Path) -> None:
    """stop() ends all processes, stop_hard() too, and a new start finds the same CA."""
    with Lab(tmp_path / "lab") as first:
        ca = first.ca_file.read_bytes()
        first.stop_hard()
        after_hard = _processes_with(str(tmp_path))
        first.start()
        port = Lab.attach(tmp_path / "lab").port

    assert (after_hard, _processes_with(str(tmp_path))) == ([], [])
    assert (ca, port) == (first.ca_file.read_bytes(), first.port)


def test_a_server_that_cannot_start_says_why_and_is_gone(tmp_path: Path) -> None:
    """The failure of a start has the server's own words; no process stays."""
    lab = Lab(tmp_path / "lab")
    lab.configure()
    (lab.conf_d / "metrics.conf").write_text("metrics: { server-id: [] }\n")

    with pytest.raises(LabFailed, match="server-id"):
        lab.start()

    assert _processes_with(str(tmp_path)) == []
