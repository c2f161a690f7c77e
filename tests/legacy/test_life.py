"""The life of nodes with an old Puppet and its dashboard, from the setup to the last revocation."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests import scratch_sshd
from tests.api.process import espm
from tests.legacy.old_site import old_machine, set_up, set_up_by_ssh, story, todays_story

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.api.platform import Client
    from tests.legacy.old_site import OldSite
    from tests.scratch_sshd import Sshd

pytestmark = pytest.mark.slow

WAIT = {"Prefer": "wait=60"}

#: Of Puppet and of the dashboard: Puppet Enterprise 2.5, and the last ones; the contract suites
#: have those in between.
VERSIONS = [("2.7.12", "1.2.6"), ("5.5.22", "2.0")]

#: How many nodes come at once; ssh takes longer for each.
MANY = {"local": 20, "ssh": 6}


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A running sshd."""
    with scratch_sshd.running(tmp_path_factory.mktemp("sshd")) as started:
        yield started


@pytest.fixture(scope="module", params=["local", "ssh"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OldSite:
    """An espm on the host of Puppet Enterprise 2.5, and one that reaches it by ssh."""
    machine = old_machine(tmp_path_factory.mktemp("old"), VERSIONS[0])
    if request.param == "local":
        return set_up(machine, *([] if _has_sudo() else ["--no-sudo"]))
    return set_up_by_ssh(machine, request.getfixturevalue("sshd"))


@pytest.fixture
def client(site: OldSite) -> Iterator[Client]:
    """A platform that calls the running daemon, which says nothing on standard error."""
    with site.serving() as daemon:
        yield site.client()
        assert daemon.err.text == ""


def _has_sudo() -> bool:
    """Return whether sudo works without anything in its files; for root it usually does."""
    sudo = shutil.which("sudo")
    return sudo is not None and subprocess.run([sudo, "-n", "true"], check=False).returncode == 0


def _launch(client: Client, name: str) -> int:
    answer = client.add(name, groups=["web"], certificate={})
    return int(answer.status_code)


def _retire(client: Client, name: str) -> int:
    """Retire a node, and repeat that until it is over."""
    last = time.monotonic() + 120
    while True:
        status = int(client.call("DELETE", f"/v1/nodes/{name}", headers=WAIT).status_code)
        if status != 202:
            return status
        assert time.monotonic() < last


def _each(work: Any, client: Client, names: list[str]) -> list[int]:
    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(lambda name: work(client, name), names))


@pytest.mark.timing
@pytest.mark.parametrize("versions", VERSIONS, ids="-".join)
def test_platforms_see_no_difference(versions: tuple[str, str], tmp_path: Path) -> None:
    """Each request of a node's life has the status and the problem that it has with today's Puppet,
    whichever the version.
    """
    site = set_up(old_machine(tmp_path / "old", versions), "--no-sudo")
    site.puppet.cert("generate", "--", "taken.example.com")
    with site.serving():
        told = story(site.client())

    assert told == todays_story(tmp_path / "new")
    assert site.issued("life.") == site.revoked()
    assert len(site.revoked()) == 3
    assert site.left_at_the_ca("life.") == []
    assert site.left_in_the_dashboard("life.") == []


def test_a_node_of_the_dashboard_that_is_not_ours_is_taken(site: OldSite, client: Client) -> None:
    """However its name is written there; it is neither changed nor retired."""
    site.dashboard.add_node("Hand.Example.Com", groups=["base"])
    added = client.add("hand.example.com", groups=["web"])

    assert added.status_code == 409
    assert added.json()["type"] == "/problems/certname-taken"
    assert _retire(client, "hand.example.com") == 404
    assert site.dashboard.node("hand.example.com") == {
        "groups": ["base"], "classes": [], "parameters": [],
    }  # fmt: skip


def test_what_a_node_is_told_follows_its_classification(site: OldSite, client: Client) -> None:
    """Groups and classes are the dashboard's at once, and replaced as a whole."""
    client.add("told.example.com", groups=["web"], classes=["ntp"])
    before = site.dashboard.node("told.example.com")
    client.call("PUT", "/v1/nodes/told.example.com", json={"groups": ["base"]})
    after = site.dashboard.node("told.example.com")

    assert before == {"groups": ["web"], "classes": ["ntp"], "parameters": []}
    assert after == {"groups": ["base"], "classes": [], "parameters": []}
    assert _retire(client, "told.example.com") == 204


def test_many_at_once(site: OldSite, client: Client, request: pytest.FixtureRequest) -> None:
    """All are launched and retired in parallel, and nothing of them is valid afterwards."""
    many = MANY[request.node.callspec.params["site"]]
    names = [f"many{number}.example.com" for number in range(many)]

    assert _each(_launch, client, names) == [201] * many
    assert len(site.left_in_the_dashboard("many")) == many
    assert _each(_retire, client, names) == [204] * many
    assert len(site.issued("many")) == many
    assert site.issued("many") <= site.revoked()
    assert site.left_at_the_ca("many") == site.left_in_the_dashboard("many") == []


@pytest.mark.parametrize("after", [0.5, 2.0])
def test_what_is_killed_in_between_is_carried_on(after: float, site: OldSite) -> None:
    """Whatever was begun when espm was killed is there or gone at the next start, and can be
    retired; nothing stays valid that no node explains.
    """
    prefix = f"killed{after}-".replace(".", "-")
    names = [f"{prefix}{number}.example.com" for number in range(6)]
    site.puppet.tell(delay=0.3)
    with site.serving() as daemon, ThreadPoolExecutor(len(names)) as pool:
        begun = [pool.submit(_launch, site.client(), name) for name in names]
        time.sleep(after)
        daemon.stop(signal.SIGKILL)
        _ = [each.exception() for each in begun]
    site.puppet.tell(delay=0.0)
    with site.serving():
        client = site.client()
        _settled(client)
        assert set(_each(_retire, client, names)) <= {204, 404}

    assert site.issued(prefix) <= site.revoked()
    assert site.left_at_the_ca(prefix) == site.left_in_the_dashboard(prefix) == []


def test_check_and_doctor_look_through_it(site: OldSite, client: Client) -> None:
    """All lines of an old Puppet are there and right, none of another stack is; doctor is happy."""
    assert _launch(client, "looked.example.com") == 201
    checked = espm("check", "-c", str(site.ini))
    cured = espm("doctor", "revocations", "-c", str(site.ini))

    assert (checked.returncode, cured.returncode) == (0, 0), checked.stdout + cured.stdout
    subjects = {
        line[6:].partition("  ")[0] for line in checked.stdout.splitlines() if line[:4].strip()
    }
    assert {"old tools", "puppet cert", "CA files", "dashboard", "external_node"} <= subjects
    assert not {"client TLS", "CA rights", "ENC hook-up"} & subjects
    assert "FAIL" not in checked.stdout + cured.stdout
    assert _retire(client, "looked.example.com") == 204


def _settled(client: Client) -> None:
    """Return once nothing is being added any more."""
    last = time.monotonic() + 90
    while client.get("/v1/nodes?state=adding").json()["nodes"]:
        assert time.monotonic() < last
        time.sleep(0.2)
