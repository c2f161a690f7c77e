"""The life of a node, for real: platform, espm, Puppet Server, agent - and what stays untouched."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from espm.x509 import key_pem, new_csr, new_key
from tests.api.platform import opened
from tests.live import scene
from tests.live.agent import Agent
from tests.live.scene import crl_serials, launched
from tests.live.stack import ENC, Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.api.platform import Client
    from tests.live.lab import Lab

pytestmark = pytest.mark.live

#: A node that only the ENC of before knows.
FALLBACK = "fallback.example.com"


@pytest.fixture(scope="module")
def stack(lab: Lab) -> Iterator[Stack]:
    """espm set up against the lab and running as an unprivileged user."""
    with scene.scratch("life") as root:
        lab.set_enc(old_enc(root))
        try:
            with Stack(lab, root / "espm", groups=scene.groups(root)) as started:
                yield started
        finally:
            lab.set_enc(None)


def old_enc(root: Path) -> Path:
    """Return the ENC that was there before espm: it knows one node."""
    _, classes = scene.probe(root, "fallback", "by the old ENC")
    program = root / "old-enc"
    known = json.dumps({"environment": "production", "classes": classes})
    program.write_text(f"#!/bin/sh\n[ \"$1\" = {FALLBACK} ] && echo '{known}' || echo '{{}}'\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def cloud(stack: Stack) -> Client:
    """The platform that espm_setup made the key for."""
    return stack.client()


def probe(stack: Stack, name: str, content: str) -> tuple[Path, dict[str, object]]:
    """Return a path and the class that writes *content* there."""
    return scene.probe(stack.root.parent, name, content)


def test_the_whole_life(stack: Stack, cloud: Client) -> None:
    """Launched, configured, changed, retired, refused: with a real agent at every step."""
    name = "life-1.example.com"
    path, classes = probe(stack, "life", "first")
    answer = cloud.add(name, groups=["base"], classes=classes, certificate={})
    assert answer.status_code == 201, answer.text
    agent = launched(stack.lab, name, answer.json()["certificate"])

    first = agent.run()
    assert first.changed, first.output
    assert path.read_text() == "first"
    assert "from-the-group" in (stack.root.parent / "seen/motd").read_text()

    _, classes = probe(stack, "life", "second")
    changed = cloud.call("PUT", f"/v1/nodes/{name}", json={"classes": classes})
    assert changed.status_code == 200, changed.text
    second = agent.run()
    assert second.changed, second.output
    assert path.read_text() == "second"

    serial = answer.json()["certificate"]["serial"]
    assert cloud.call("DELETE", f"/v1/nodes/{name}").status_code == 204
    assert stack.document(name) is None
    assert serial in crl_serials(cloud.get("/v1/crl").content)
    refuses(agent)


def refuses(agent: Agent) -> None:
    """See that Puppet refuses the agent, and that the agent learns why from the CRL of now."""
    refused = agent.run()
    assert not refused.succeeded
    assert "alert certificate" in refused.output, refused.output
    (agent.ssldir / "crl.pem").unlink()
    told = agent.run()
    assert not told.succeeded
    assert "revoked" in told.output, told.output


def test_an_agents_own_csr(stack: Stack, cloud: Client) -> None:
    """sign_pending signs what the agent submitted, and the agent runs with its own key."""
    name = "life-2.example.com"
    path, classes = probe(stack, "own", "by my own key")
    assert cloud.add(name, classes=classes).status_code == 201
    agent = Agent(stack.lab, name)
    agent.submit_csr()
    pending = {"sign_pending": agent.csr_fingerprint_sha256_of_der()}
    answer = cloud.call("POST", f"/v1/nodes/{name}/certificate", json=pending)
    assert answer.status_code == 201, answer.text

    run = agent.run()

    assert run.changed, run.output
    assert path.read_text() == "by my own key"
    assert cloud.call("DELETE", f"/v1/nodes/{name}").status_code == 204


def test_a_name_lives_again(stack: Stack, cloud: Client) -> None:
    """After DELETE the same name gets another certificate, and its agent runs."""
    name = "life-3.example.com"
    path, classes = probe(stack, "again", "again")
    first = cloud.add(name, classes=classes, certificate={}).json()["certificate"]
    cloud.call("DELETE", f"/v1/nodes/{name}")
    second = cloud.add(name, classes=classes, certificate={}).json()["certificate"]

    assert first["serial"] != second["serial"]
    run = launched(stack.lab, name, second).run()
    assert run.changed, run.output
    assert path.read_text() == "again"
    cloud.call("DELETE", f"/v1/nodes/{name}")


def by_site_pp(stack: Stack) -> tuple[str, Path]:
    """Return a foreign node that site.pp classifies, and the file that shows it."""
    name = "stranger.example.com"
    path = stack.root.parent / "seen/stranger"
    stack.lab.site_pp(f"""node '{name}' {{
      class {{ 'espm_probe': path => '{path}', content => 'by site.pp' }}
    }}
    node default {{ }}
    """)
    return name, path


def by_the_old_enc(stack: Stack) -> tuple[str, Path]:
    """Return a foreign node that the fallback ENC classifies, and the file that shows it."""
    return FALLBACK, stack.root.parent / "seen/fallback"


@pytest.mark.parametrize("foreign", [by_site_pp, by_the_old_enc])
def test_a_foreign_node_is_untouched(
    stack: Stack, cloud: Client, foreign: Callable[[Stack], tuple[str, Path]]
) -> None:
    """A node that was signed by hand is invisible, and all of it stays the same byte for byte."""
    name, path = foreign(stack)
    agent = Agent(stack.lab, name)
    agent.submit_csr()
    stack.lab.cli("ca", "sign", "--certname", name)
    assert agent.run().succeeded
    held = stack.lab.cadir / "signed" / f"{name}.pem"
    before = held.read_bytes(), path.read_bytes(), crl_serials(cloud.get("/v1/crl").content)

    answers_as_for_nobody(cloud, name)
    taken = cloud.add(name, certificate={})
    assert taken.status_code == 409
    assert taken.json()["type"] == "/problems/certname-taken"

    assert agent.run().succeeded
    assert (
        held.read_bytes(),
        path.read_bytes(),
        crl_serials(cloud.get("/v1/crl").content),
    ) == before
    assert stack.document(name) is None
    assert name not in cloud.get("/v1/nodes").text


def answers_as_for_nobody(cloud: Client, name: str) -> None:
    """See that every verb on *name* answers as for a name that does not exist."""
    for method, suffix, body in (
        ("GET", "", None),
        ("PUT", "", {}),
        ("DELETE", "", None),
        ("GET", "/certificate", None),
        ("POST", "/certificate", {}),
        ("DELETE", "/certificate", None),
    ):
        stranger = cloud.call(method, f"/v1/nodes/{name}{suffix}", json=body)
        nobody = cloud.call(method, f"/v1/nodes/nobody.example.com{suffix}", json=body)
        assert stranger.status_code == 404
        assert stranger.json() | {"instance": ""} == nobody.json() | {"instance": ""}


def test_a_name_of_the_old_enc_is_taken(stack: Stack, cloud: Client) -> None:
    """What the fallback ENC classifies is taken, also without any certificate."""
    stack.lab.cli("ca", "clean", "--certname", FALLBACK, check=False)

    assert cloud.add(FALLBACK).json()["type"] == "/problems/certname-taken"


def test_an_rsa_key_of_the_instances_own(stack: Stack, cloud: Client) -> None:
    """A CSR with an RSA key is signed as it is, and the agent runs with that key."""
    name = "life-5.example.com"
    path, classes = probe(stack, "rsa", "by an RSA key")
    key = new_key("rsa")
    order = {"csr": new_csr(name, key).decode()}
    answer = cloud.add(name, classes=classes, certificate=order)
    assert answer.status_code == 201, answer.text
    certificate = answer.json()["certificate"] | {"private_key": key_pem(key).decode()}
    run = launched(stack.lab, name, certificate).run()

    assert run.changed, run.output
    assert path.read_text() == "by an RSA key"
    assert cloud.call("DELETE", f"/v1/nodes/{name}").status_code == 204


def test_espm_enc_answers_without_the_daemon(stack: Stack, cloud: Client) -> None:
    """With the daemon stopped and the ledger locked, the document is printed all the same."""
    name = "life-4.example.com"
    cloud.add(name, parameters={"role": "alone"})
    stack.stop()
    with sqlite3.connect(stack.root / "var/ledger.db", isolation_level=None) as ledger:
        ledger.execute("BEGIN EXCLUSIVE")
        done = subprocess.run(
            [ENC, "-d", stack.enc, name], capture_output=True, text=True, check=True
        )
        ledger.execute("ROLLBACK")
    stack.start()

    assert json.loads(done.stdout)["parameters"] == {"role": "alone"}
    assert stack.client().call("DELETE", f"/v1/nodes/{name}").status_code == 204


def test_the_daemon_has_no_rights(stack: Stack) -> None:
    """The daemon runs without root and without any capability."""
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{stack.pid}/status").read_text().splitlines()
    )

    assert "0" not in status["Uid"].split()
    assert int(status["CapEff"], 16) == 0
    assert int(status["CapPrm"], 16) == 0


def test_curl_with_the_two_values(stack: Stack, tmp_path: Path) -> None:
    """curl works with the printed pin and key, and refuses another certificate."""
    header = f"Authorization: Bearer {stack.printed.psk}"

    def curl(url: str) -> subprocess.CompletedProcess[str]:
        argv = ["curl", "-sk", "--pinnedpubkey", stack.printed.pin, "-H", "@-", f"{url}/v1/whoami"]
        return subprocess.run(argv, input=header, capture_output=True, text=True, check=False)

    answer = curl(f"https://localhost:{stack.port}")
    with opened(tmp_path) as man_in_the_middle:
        refused = curl(man_in_the_middle.url)

    assert json.loads(answer.stdout)["platform"] == "default"
    assert refused.returncode == 90


def test_the_native_tools_work_beside_espm(stack: Stack) -> None:
    """`puppetserver ca sign`, `list` and `clean` go on working with espm's rules in force."""
    name = "by-hand.example.com"
    Agent(stack.lab, name).submit_csr()
    stack.lab.cli("ca", "sign", "--certname", name)

    assert name in stack.lab.cli("ca", "list", "--all").stdout
    stack.lab.cli("ca", "clean", "--certname", name)


def test_a_certificate_that_vanished_unrevoked_can_be_put_back(stack: Stack, cloud: Client) -> None:
    """The way out that the administrator's guide describes for an unproved revocation."""
    name = "life-6.example.com"
    pem = cloud.add(name, certificate={}).json()["certificate"]["certificate"]
    held = stack.lab.cadir / "signed" / f"{name}.pem"
    held.unlink()
    unproved = cloud.call("DELETE", f"/v1/nodes/{name}")
    known = cloud.get(f"/v1/nodes/{name}/certificate").json()
    held.write_text(known["certificate"])

    assert unproved.status_code == 202
    assert "the CRL does not show" in unproved.json()["last_error"]
    assert known["certificate"] == pem
    assert cloud.call("DELETE", f"/v1/nodes/{name}").status_code == 204
    assert known["serial"] in crl_serials(cloud.get("/v1/crl").content)
    assert not held.exists()
