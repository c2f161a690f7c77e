"""The life of a node, for real: platform, espm, Puppet Server, agent - and what stays untouched."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.agent import Agent
from tests.live.stack import ENC, Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.platform import Client
    from tests.live.lab import Lab

pytestmark = pytest.mark.live

GROUPS = """
groups:
  - name: base
    parameters: {role: from-the-group}
    classes:
      espm_probe::motd: {path: MOTD}
"""


@pytest.fixture(scope="module")
def stack(lab: Lab) -> Iterator[Stack]:
    """espm set up against the lab and running as an unprivileged user."""
    # Not one of pytest's directories: it keeps those from other users, such as the daemon's.
    with tempfile.TemporaryDirectory(prefix="espm-life-") as name:
        root = Path(name)
        root.chmod(0o755)
        (root / "seen").mkdir()
        groups = GROUPS.replace("MOTD", str(root / "seen/motd"))
        with Stack(lab, root / "espm", groups=groups) as started:
            yield started


@pytest.fixture
def cloud(stack: Stack) -> Client:
    """The platform that espm_setup made the key for."""
    return stack.client()


def probe(stack: Stack, name: str, content: str) -> tuple[Path, dict[str, object]]:
    """Return a path and the class that writes *content* there."""
    path = stack.root.parent / "seen" / name
    return path, {"espm_probe": {"path": str(path), "content": content}}


def launched(stack: Stack, certificate: dict[str, str], name: str) -> Agent:
    """Return an agent with the files that the API gave."""
    agent = Agent(stack.lab, name)
    agent.install(
        private_key=certificate["private_key"],
        certificate=certificate["certificate"],
        ca_bundle=certificate["ca_bundle"],
    )
    return agent


def test_the_whole_life(stack: Stack, cloud: Client) -> None:
    """Launched, configured, changed, retired, refused: with a real agent at every step."""
    name = "life-1.example.com"
    path, classes = probe(stack, "life", "first")
    answer = cloud.add(name, groups=["base"], classes=classes, certificate={})
    assert answer.status_code == 201, answer.text
    agent = launched(stack, answer.json()["certificate"], name)

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
    assert serial in crl_serials(cloud)
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


def crl_serials(cloud: Client) -> set[str]:
    """Return the serials in the CRL that espm serves."""
    from cryptography import x509  # noqa: PLC0415 - only here

    pem = cloud.get("/v1/crl").content
    first = x509.load_pem_x509_crl(pem)
    return {f"{each.serial_number:X}" for each in first}


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
    run = launched(stack, second, name).run()
    assert run.changed, run.output
    assert path.read_text() == "again"
    cloud.call("DELETE", f"/v1/nodes/{name}")


def test_a_foreign_node_is_untouched(stack: Stack, cloud: Client) -> None:
    """A node that was signed by hand is invisible, and its files are the same byte for byte."""
    name = "stranger.example.com"
    path, _ = probe(stack, "stranger", "")
    stack.lab.site_pp(f"""node '{name}' {{
      class {{ 'espm_probe': path => '{path}', content => 'by site.pp' }}
    }}
    node default {{ }}
    """)
    agent = Agent(stack.lab, name)
    agent.submit_csr()
    stack.lab.cli("ca", "sign", "--certname", name)
    assert agent.run().succeeded
    held = stack.lab.cadir / "signed" / f"{name}.pem"
    before = held.read_bytes(), path.read_bytes(), crl_serials(cloud)

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
    taken = cloud.add(name, certificate={})
    assert taken.status_code == 409
    assert taken.json()["type"] == "/problems/certname-taken"

    assert agent.run().succeeded
    assert (held.read_bytes(), path.read_bytes(), crl_serials(cloud)) == before
    assert name not in cloud.get("/v1/nodes").text


def test_espm_enc_answers_without_the_daemon(stack: Stack, cloud: Client) -> None:
    """With the daemon stopped and the ledger locked, the document is printed all the same."""
    import sqlite3  # noqa: PLC0415 - only here

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


def test_curl_with_the_two_values(stack: Stack) -> None:
    """curl works with the printed pin and key, and refuses another certificate."""
    url = f"https://localhost:{stack.port}/v1/whoami"
    header = f"Authorization: Bearer {stack.printed.psk}"

    def curl(pin: str) -> subprocess.CompletedProcess[str]:
        argv = ["curl", "-sk", "--pinnedpubkey", pin, "-H", "@-", url]
        return subprocess.run(argv, input=header, capture_output=True, text=True, check=False)

    assert json.loads(curl(stack.printed.pin).stdout)["platform"] == "default"
    assert curl("sha256//" + "A" * 43 + "=").returncode == 90


def test_the_native_tools_work_beside_espm(stack: Stack) -> None:
    """`puppetserver ca sign`, `list` and `clean` go on working with espm's rules in force."""
    name = "by-hand.example.com"
    Agent(stack.lab, name).submit_csr()
    stack.lab.cli("ca", "sign", "--certname", name)

    assert name in stack.lab.cli("ca", "list", "--all").stdout
    stack.lab.cli("ca", "clean", "--certname", name)
