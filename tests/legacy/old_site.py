"""An espm beside an old Puppet and its dashboard, set up by ``espm_setup`` as people do it."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509

from espm.model import Certname
from espm.x509 import new_csr, new_key
from tests.api.platform import Client
from tests.api.process import REPOSITORY, STARTED, Daemon, site_with_puppet
from tests.legacy.dashboard import Dashboard, legacy_dashboard
from tests.legacy.puppet_cert import Tree, legacy_puppet
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from espm.model import Json
    from tests.scratch_sshd import Sshd

_NODE = "/v1/nodes/life.example.com"
_NEW: Json = {"certname": "life.example.com", "groups": ["web"], "classes": ["ntp"]}
_WITH_KEY: Json = {**_NEW, "certificate": {}}
_NO = {"certname": "no.example.com"}

#: The life of a node, and what is refused: method, path and body.  ``taken.example.com`` is
#: somebody else's.
STEPS: tuple[tuple[str, str, Json], ...] = (
    ("POST", "/v1/nodes", _WITH_KEY),
    ("POST", "/v1/nodes", _NEW),
    ("POST", "/v1/nodes", {"certname": "taken.example.com"}),
    ("POST", "/v1/nodes", {**_NO, "classes": ["no_such_class"]}),
    ("POST", "/v1/nodes", {**_NO, "groups": ["no such group"]}),
    ("POST", "/v1/nodes", {**_NO, "environment": "elsewhere"}),
    ("GET", "/v1/nodes/taken.example.com", None),
    ("PUT", _NODE, {"groups": ["base"], "classes": ["profile::web"]}),
    ("PUT", _NODE, {"groups": ["no such group"]}),
    ("GET", f"{_NODE}/certificate", None),
    ("POST", f"{_NODE}/certificate", {}),
    ("DELETE", f"{_NODE}/certificate", None),
    ("POST", f"{_NODE}/certificate", {}),
    ("DELETE", _NODE, None),
    ("GET", _NODE, None),
    ("DELETE", _NODE, None),
    ("POST", "/v1/nodes", _WITH_KEY),
    ("DELETE", _NODE, None),
)

CLASSES = ("ntp", "profile::web", "espm_withheld")


@dataclass(frozen=True)
class OldSite:
    """An espm that is set up.

    :ivar psk: the preshared key that the setup printed.
    """

    directory: Path
    port: int
    puppet: Tree
    dashboard: Dashboard
    psk: str

    @property
    def ini(self) -> Path:
        """The configuration."""
        return self.directory / "espm/etc/espm.ini"

    @contextmanager
    def serving(self) -> Iterator[Daemon]:
        """Run the daemon; it serves when the block begins."""
        with Daemon("-c", str(self.ini)) as daemon:
            daemon.out.wait_for(STARTED)
            yield daemon

    def client(self) -> Client:
        """Return a platform that calls it."""
        pinned = str(self.directory / "espm/etc/certs/espm.pem")
        # Twenty launches are as many times a handful of tasks, one after the other.
        return Client(f"https://127.0.0.1:{self.port}", pinned, self.psk, patience=120)

    def revoked(self) -> set[int]:
        """Return the serials in the CA's CRL."""
        pem = (self.puppet.ssldir / "ca/ca_crl.pem").read_bytes()
        return {entry.serial_number for entry in x509.load_pem_x509_crl(pem)}

    def issued(self, prefix: str) -> set[int]:
        """Return the serials that the CA's inventory has for names that begin so."""
        lines = (self.puppet.ssldir / "ca/inventory.txt").read_text().splitlines()
        found = (line.split() for line in lines if f"/CN={prefix}" in line)
        return {int(words[0], 16) for words in found}

    def left_at_the_ca(self, prefix: str) -> list[str]:
        """Return the files about names that begin so."""
        found = self.puppet.ssldir.rglob(f"*{prefix}*")
        return sorted(str(path.relative_to(self.puppet.ssldir)) for path in found)

    def left_in_the_dashboard(self, prefix: str) -> list[str]:
        """Return the nodes whose names begin so."""
        return [
            row.name
            for row in self.dashboard.store.all("nodes", "id")
            if row.name.startswith(prefix)
        ]


def old_machine(directory: Path, versions: tuple[str, str], delay: float = 0.0) -> OldSite:
    """Make an old Puppet and a dashboard, with an espm that is not set up yet.

    :param versions: of Puppet and of the dashboard.
    :param delay: seconds that each start of a program takes longer.
    """
    for name in ("puppet", "dashboard"):
        (directory / name).mkdir(parents=True)
    puppet = legacy_puppet(directory / "puppet", versions[0])
    puppet.cert("list")  # The CA is made at the first use.
    puppet.tell(delay=delay)
    dashboard = legacy_dashboard(directory / "dashboard", versions[1], delay=delay)
    dashboard.add_class(*CLASSES)
    dashboard.add_group("base", ["ntp"])
    dashboard.add_group("web", ["profile::web"])
    return OldSite(directory, free_port(), puppet, dashboard, "")


def set_up(site: OldSite, *more: str) -> OldSite:
    """Run ``espm_setup`` with the paths of *site*, and return the site with its key."""
    return replace(site, psk=_set_up(site, *more)["preshared_key"])


def set_up_by_ssh(site: OldSite, sshd: Sshd) -> OldSite:
    """Run it for a host behind *sshd*, and do there what it says is to be done."""
    me = getpass.getuser()
    words = ["--tools-host", f"ssh://{me}@127.0.0.1:{sshd.port}", "--rake-user", me, "--no-sudo"]
    said = _set_up(site, *words, "--after-revoke", "/bin/true")
    tools, etc = Path(said["tools"]["program"]), site.ini.parent
    tools.parent.mkdir()
    for source, target in ((tools.name, tools), (f"{tools.name}.conf", Path(f"{tools}.conf"))):
        shutil.copy(etc / source, target)
    certs = etc / "certs"
    with (sshd.root / "user_key.pub").open("a") as keys:
        keys.write((certs / "espm_ssh.pub").read_text())
    with (certs / "known_hosts").open("a") as hosts:
        hosts.write((sshd.root / "known_hosts").read_text())
    return replace(site, psk=said["preshared_key"])


def _set_up(site: OldSite, *more: str) -> dict[str, Any]:
    etc, dashboard = site.ini.parent, site.dashboard
    words = [
        *("-d", str(etc), "-c", str(etc / "certs"), "--create", "--json", "--platform", "cloud"),
        *("--host", "127.0.0.1", "--port", str(site.port), "--san", "127.0.0.1"),
        *("--ca", "puppet_cert", "--classifier", "dashboard"),
        *("--puppet", str(site.puppet.program), "--confdir", str(site.puppet.confdir)),
        *("--rake", str(dashboard.rake), "--rakefile", str(dashboard.rakefile)),
        *("--external-node", str(dashboard.external_node)),
        *("--tools", str(site.directory / "libexec/espm_tools")),
        *(("--user", "root") if os.geteuid() == 0 else ()),
    ]
    found: dict[str, Any] = json.loads(_setup(*words, *more))
    return found


def _setup(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "espm_setup", *words],
        check=False,
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def story(client: Client) -> list[tuple[str, int, str]]:
    """Live through :data:`STEPS`; return each request, its status and its problem's type."""
    return [_told(client, *step) for step in STEPS]


def todays_story(directory: Path) -> list[tuple[str, int, str]]:
    """Return what :func:`story` returns of an espm beside a Puppet of today."""
    directory.mkdir()
    with site_with_puppet(directory) as (site, puppet):
        taken = Certname("taken.example.com")
        puppet.ca.submit(taken, new_csr(taken, new_key()))
        puppet.ca.sign(taken)
        with site.serving():
            return story(site.client())


def _told(client: Client, method: str, path: str, body: Json) -> tuple[str, int, str]:
    options = {} if body is None else {"json": body}
    answer = client.call(method, path, headers={"Prefer": "wait=30"}, **options)
    kind = answer.headers.get("Content-Type", "") if answer.content else ""
    problem = answer.json()["type"] if kind == "application/problem+json" else ""
    return f"{method} {path}", answer.status_code, problem
