"""espm_setup on a real Puppet Server: its own certificate, the rules, the ENC, and back again."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from espm import config, x509
from espm.puppet_http import PuppetHttp
from espm_setup.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.lab import Lab

pytestmark = pytest.mark.live

ENC = Path(__file__).parents[2] / "etc/espm_enc"
STATUS = "/puppet-ca/v1/certificate_status"
CLASSES = "/puppet/v3/environment_classes?environment=production"


@dataclass(frozen=True)
class Installation:
    """An espm that was set up beside the lab.

    :ivar said: what the first run printed with --json.
    :ivar asked: where the ENC that was there before notes the names it is asked for.
    """

    lab: Lab
    root: Path
    certname: str
    said: dict[str, object]
    asked: Path

    def setup(self, *words: str) -> int:
        """Run espm_setup."""
        return main([*_places(self.lab, self.root), *words])

    def status(self, path: str) -> int:
        """Return the status of a GET with espm's own certificate."""
        access = config.load(self.root / "etc/espm.ini").access
        http = PuppetHttp(access.url, access)
        try:
            return http.call("GET", path, accept=range(100, 600)).status
        finally:
            http.close()

    def files(self) -> list[bytes]:
        """Return the content of Puppet's two files."""
        return [self.lab.puppet_conf.read_bytes(), self.lab.auth_conf.read_bytes()]


def _places(lab: Lab, root: Path) -> list[str]:
    return [
        *("-d", str(root / "etc"), "-c", str(root / "etc/certs"), "--confdir", str(lab.confdir)),
        *("--enc", str(ENC), "--reload", f"/bin/kill -HUP {lab.pid}"),
    ]


@pytest.fixture(scope="module")
def installation(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Set espm up beside a lab that has an ENC already; leave the lab as it was."""
    root = tmp_path_factory.mktemp("setup")
    before = lab.puppet_conf.read_bytes(), lab.auth_conf.read_bytes()
    asked = root / "asked"
    enc = root / "enc-before"
    enc.write_text(f"#!/bin/sh\necho \"$2\" >> {asked}\necho 'parameters: {{site: here}}'\n")
    enc.chmod(0o755)
    lines = f"\nnode_terminus = exec\nexternal_nodes = {enc} --fast\n"
    lab.puppet_conf.write_bytes(before[0] + lines.encode())
    certname = f"espm-{secrets.token_hex(4)}.espm.test"
    try:
        yield _installed(lab, root, certname, asked)
    finally:
        lab.puppet_conf.write_bytes(before[0])
        lab.auth_conf.write_bytes(before[1])
        for copy in (*lab.confdir.glob("*.espm-backup*"), *lab.conf_d.glob("*.espm-backup*")):
            copy.unlink()
        lab.reload()
        lab.cli("ca", "clean", "--certname", certname, check=False)


def _installed(lab: Lab, root: Path, certname: str, asked: Path) -> Installation:
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr("builtins.print", lambda text, **_: said.append(text))
        words = ["--create", "--json", "--certname", certname]
        assert main([*_places(lab, root), *words]) == 0
    return Installation(lab, root, certname, json.loads(said[0]), asked)


def test_it_finds_puppet_and_gets_its_own_certificate(installation: Installation) -> None:
    """The first run leaves a configuration that is complete, with a certificate of the CA."""
    found = config.load(installation.root / "etc/espm.ini")
    pem = (installation.root / "etc/certs/puppet.pem").read_bytes()

    assert installation.said["missing"] is None
    assert found.access.url == installation.lab.url
    assert found.certname == x509.common_name(pem) == installation.certname
    assert installation.lab.certname in found.reserved


def test_its_certificate_is_an_ordinary_one(installation: Installation) -> None:
    """Without rules in auth.conf it may do no more than any node: 403."""
    assert installation.status(f"{STATUS}/x.espm.test") == 403
    assert installation.status(CLASSES) == 403


def test_apply_connects_and_unapply_leaves_no_trace(installation: Installation) -> None:
    """Rules and ENC come into force by a reload, nobody else loses anything, and all of it goes."""
    before = installation.files()

    assert installation.setup("--apply") == 0
    assert installation.status(f"{STATUS}/x.espm.test") == 404
    assert installation.status(CLASSES) == 200
    assert installation.status("/puppet-ca/v1/certificate_statuses/any") == 403
    _puppet_asks_both(installation)
    the_native_command_works(installation.lab)
    applied = installation.files()
    assert installation.setup("--apply") == 0
    assert installation.files() == applied
    assert installation.setup("--unapply") == 0
    assert installation.files() == before
    assert installation.status(f"{STATUS}/x.espm.test") == 403


def test_apply_gets_the_certificate_that_is_missing(installation: Installation) -> None:
    """As where Puppet Server did not run at the first time."""
    certificate = installation.root / "etc/certs/puppet.pem"
    pem = certificate.read_bytes()
    certificate.unlink()

    assert installation.setup("--apply") == 0
    assert certificate.read_bytes() == pem
    assert installation.status(f"{STATUS}/x.espm.test") == 404
    assert installation.setup("--unapply") == 0


def _puppet_asks_both(installation: Installation) -> None:
    """See that Puppet Server asks espm_enc, and that this hands on to the ENC before."""
    name = installation.certname
    installation.asked.unlink(missing_ok=True)

    assert installation.status(f"/puppet/v3/node/{name}?environment=production") == 200
    assert installation.asked.read_text() == f"{name}\n"
    external_nodes = installation.lab.puppet_conf.read_text().split("external_nodes = ")[1]
    assert external_nodes.startswith(f"{ENC} -d {installation.root}/enc -f ")


def the_native_command_works(lab: Lab) -> None:
    """See that ``puppetserver ca`` may do beside the rules what it could without them."""
    name = f"setup-{secrets.token_hex(4)}.espm.test"
    csr = x509.new_csr(name, x509.new_key())

    assert lab.request("PUT", f"/puppet-ca/v1/certificate_request/{name}", csr)[0] == 200
    for action in ("sign", "list", "clean"):
        done = lab.cli("ca", action, "--certname", name)
        assert (done.returncode, name in done.stdout) == (0, True)


def test_a_name_that_has_a_certificate_already_is_not_taken_over(
    installation: Installation, tmp_path: Path
) -> None:
    """The set-up goes on without a certificate, says why, and revokes nothing."""
    lab = installation.lab
    before = lab.request("GET", f"/puppet-ca/v1/certificate/{lab.admin_certname}")
    words = ["--create", "--certname", lab.admin_certname]

    assert main([*_places(lab, tmp_path), *words]) == 1
    assert lab.request("GET", f"/puppet-ca/v1/certificate/{lab.admin_certname}") == before
    assert list(tmp_path.iterdir()) == []


def test_where_setup_may_not_sign_the_administrator_does(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints the command, and gets the certificate when it is asked to afterwards."""
    certname = f"espm-{secrets.token_hex(4)}.espm.test"
    words = [*_places(lab, tmp_path), "--puppetserver", str(tmp_path / "none")]
    command = ["ca", "sign", "--certname", certname]

    assert main([*words, "--create", "--certname", certname]) == 0
    assert f"run: puppetserver {' '.join(command)} --config" in capsys.readouterr().out
    assert main([*words, "--fetch-certificate"]) == 1
    lab.cli(*command)
    try:
        assert main([*words, "--fetch-certificate"]) == 0
        assert config.load(tmp_path / "etc/espm.ini").certname == certname
        assert main([*words, "--fetch-certificate"]) == 0
    finally:
        lab.cli("ca", "clean", "--certname", certname)
