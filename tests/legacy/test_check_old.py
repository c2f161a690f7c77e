"""The lines of ``espm check`` about an old Puppet and its dashboard, each right and wrong."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from espm.check import dashboard, tools
from espm.check.finding import Context, Finding, State
from espm.classifier.dashboard import DashboardClassifier
from espm.host import connect
from espm.model import Certname
from espm.x509 import new_csr, new_key
from tests.legacy.dashboard import Dashboard, legacy_dashboard
from tests.legacy.puppet_cert import Tree, legacy_puppet

if TYPE_CHECKING:
    from collections.abc import Iterator

HELPER = Path(__file__).parents[2] / "etc/espm_tools"


@dataclass
class Machine:
    """An old Puppet, a dashboard and the helper, with what a check works on."""

    puppet: Tree
    dashboard: Dashboard
    helper: Path
    options: dict[str, Any] = field(init=False)
    context: Any = field(init=False)

    def __post_init__(self) -> None:
        """Install the helper and connect to it."""
        shutil.copy(HELPER, self.helper)
        self.options = {
            "host": "local",
            "tools": str(self.helper),
            "sudo": False,
            "command_timeout": 60.0,
            **dict.fromkeys(("ssh_key", "ssh_known_hosts", "ssh_config"), ""),
            "environment": "production",
            "withheld_class": "espm_withheld",
            "classes_cache": 0,
        }
        self.settings()

    def look_afresh(self, **options: Any) -> None:
        """Begin another check; *options* are those of a classifier on another host."""
        config = SimpleNamespace(ca_options=self.options, classifier_options=self.options | options)
        self.context = Context(config)  # type: ignore[arg-type]
        self.context.ca = SimpleNamespace(version=lambda: self.puppet.version)
        self.context.classifier = DashboardClassifier(connect(self.options), self.options)

    def settings(self, **more: object) -> None:
        """Write the helper's settings, and begin another check."""
        keys = {
            "puppet": self.puppet.program,
            "confdir": self.puppet.confdir,
            "rake": self.dashboard.rake,
            "rakefile": self.dashboard.rakefile,
            "external_node": self.dashboard.external_node,
            **more,
        }
        text = "".join(f"{key} = {value}\n" for key, value in keys.items())
        self.helper.with_name("espm_tools.conf").write_text(text)
        self.look_afresh()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Puppet Enterprise 2.5, all right but for the class that withholds."""
    for name in ("puppet", "dashboard"):
        (tmp_path / name).mkdir()
    puppet = legacy_puppet(tmp_path / "puppet", "2.7.12")
    puppet.cert("list")
    return Machine(
        puppet, legacy_dashboard(tmp_path / "dashboard", "1.2.6"), tmp_path / "espm_tools"
    )


def one(findings: Iterator[Finding]) -> Finding:
    """Return the only finding."""
    [found] = findings
    return found


def test_a_helper_that_is_there_is_ok(machine: Machine) -> None:
    """One line for both backends, for they name the same."""
    found = one(tools.helper(machine.context))

    assert (found.state, found.what) == (State.OK, f"{machine.helper} on local can be run")


def test_two_helpers_are_two_lines(machine: Machine) -> None:
    """The dashboard may be on another host than the CA."""
    machine.look_afresh(tools="/none/espm_tools")

    assert [each.state for each in tools.helper(machine.context)] == [State.OK, State.FAIL]


def test_a_helper_of_another_espm_is_found(machine: Machine) -> None:
    """Its release is not the one that this espm works with."""
    text = machine.helper.read_text().replace("release=1\n", "release=0\n")
    machine.helper.write_text(text)
    found = one(tools.helper(machine.context))

    assert (found.state, found.remedy) == (
        State.FAIL,
        "install etc/espm_tools of this espm in its place; it says espm_tools 1",
    )


@pytest.mark.parametrize(
    ("wrong", "what", "remedy"),
    [
        ({"puppet": "puppet"}, "is not an absolute path", "correct {tools}.conf"),
        ({"puppet": "/none"}, "there is no program /none", "correct {tools}.conf"),
    ],
)
def test_wrong_settings_are_said_in_the_helpers_words(
    wrong: dict[str, str], what: str, remedy: str, machine: Machine
) -> None:
    """With the file to correct."""
    machine.settings(**wrong)
    found = one(tools.helper(machine.context))

    assert found.state is State.FAIL
    assert what in found.what
    assert found.remedy.startswith(remedy.format(**machine.options))


def test_sudo_that_refuses_has_its_own_remedy(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is what is forgotten most easily."""
    program = machine.helper.with_name("sudo")
    program.write_text("#!/bin/sh\necho 'sudo: a password is required' >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr("espm.host.local._PATH", str(program.parent))
    machine.options["sudo"] = True
    found = one(tools.helper(machine.context))

    assert "a password is required" in found.what
    assert found.remedy.startswith("let espm's user run it: espm_setup --apply")


def test_csrs_that_wait_are_counted(machine: Machine) -> None:
    """Whatever version prints them."""
    for version in ("2.7.12", "2.7.19", "3.8.7", "5.5.22"):
        machine.puppet.tell(version=version)
        found = one(tools.puppet_cert(machine.context))
        assert (found.state, found.what) == (
            State.OK,
            "version 2.7.12; 0 CSRs waiting at the CA",
        )
    waiting = Certname("waits.example.com")
    place = machine.puppet.ssldir / f"ca/requests/{waiting}.pem"
    place.write_bytes(new_csr(waiting, new_key("rsa")))
    assert one(tools.puppet_cert(machine.context)).what == (
        "version 2.7.12; 1 CSR waiting at the CA"
    )


def test_one_bad_csr_hides_all(machine: Machine) -> None:
    """The line says so, and what to remove."""
    (machine.puppet.ssldir / "ca/requests/bad.example.com.pem").write_text("")
    found = one(tools.puppet_cert(machine.context))

    assert found.state is State.FAIL
    assert "PEM_read_bio_X509_REQ: no start line" in found.what
    assert "one such file hides all" in found.remedy


def test_the_cas_files_are_where_puppet_says(machine: Machine) -> None:
    """And another ssldir in the helper's settings is found."""
    right = one(tools.ca_files(machine.context))
    machine.settings(ssldir="/elsewhere/ssl")
    wrong = one(tools.ca_files(machine.context))

    assert (right.state, right.what) == (
        State.OK,
        f"in {machine.puppet.ssldir}/ca, as Puppet says; its own certificate is the command's",
    )
    assert wrong.state is State.FAIL
    assert f"looks at /elsewhere/ssl, but Puppet's ssldir is {machine.puppet.ssldir}" in wrong.what


@pytest.mark.parametrize("version", ["2.7.12", "2.7.19", "3.8.7", "5.5.22"])
def test_a_command_that_works_with_another_ca_is_found(machine: Machine, version: str) -> None:
    """Its fingerprint is not that of the file; what it prints says which one it has."""
    machine.puppet.tell(version=version)
    right = one(tools.ca_files(machine.context))
    conf = machine.puppet.confdir / "puppet.conf"
    conf.write_text("[main]\ncertname = other.example.com\ncadir = $confdir/authority\n")
    machine.puppet.cert("list")
    wrong = one(tools.ca_files(machine.context))

    assert (right.state, wrong.state) == (State.OK, State.FAIL)
    assert "puppet cert works with another CA, CN=Puppet CA: other.example.com" in wrong.what
    assert f"not with that of {machine.puppet.ssldir}/ca/ca_crt.pem" in wrong.what
    assert "cadir" in wrong.remedy


def test_a_command_that_tells_no_fingerprint_proves_nothing(machine: Machine) -> None:
    """What it says instead is on the line."""
    machine.puppet.tell(delay=0.0)
    key = machine.puppet.ssldir / "ca" / "ca_key.pem"
    key.write_text("no key")
    found = one(tools.ca_files(machine.context))

    assert found.state is State.FAIL
    assert found.what.startswith("puppet cert tells no fingerprint of its CA: ")


def test_the_helpers_settings_are_asked_for_once(machine: Machine) -> None:
    """Each time Ruby starts; three lines of the check go by what it says."""
    for check in (tools.ca_files, tools.after_revoke, dashboard.external_node):
        one(check(machine.context))

    asked = [each for each in machine.puppet.commands() if each.argv[0] == "master"]
    assert len(asked) == 1


def test_a_master_that_hears_of_no_revocation_is_a_warning(machine: Machine) -> None:
    """With a command it is said which; it is not run."""
    without = one(tools.after_revoke(machine.context))
    machine.settings(after_revoke="/none restart")
    having = one(tools.after_revoke(machine.context))

    assert (without.state, having.state) == (State.WARN, State.OK)
    assert having.what == "the master is told of a new CRL by: /none restart"


@pytest.mark.parametrize(("version", "state"), [("1.2.6", State.WARN), ("1.2.11", State.OK)])
def test_whether_nodes_can_have_parameters_is_said(
    version: str, state: State, machine: Machine, tmp_path: Path
) -> None:
    """Puppet Enterprise 2.5 has no task for them."""
    (tmp_path / "other").mkdir()
    machine.dashboard = legacy_dashboard(tmp_path / "other", version)
    machine.dashboard.add_group("web")
    machine.settings()
    found = one(dashboard.tasks(machine.context))

    assert found.state is state
    assert found.what.endswith("1 group")


def test_the_dashboards_enc_is_tried(machine: Machine) -> None:
    """It answers, or its own words say why not; without it a warning."""
    up = one(dashboard.external_node(machine.context))
    machine.dashboard.set_mode("disabled")
    down = one(dashboard.external_node(machine.context))
    machine.settings(external_node="")
    without = one(dashboard.external_node(machine.context))

    assert [each.state for each in (up, down, without)] == [State.OK, State.FAIL, State.WARN]
    assert "Node classification has been disabled" in down.what


def test_the_class_that_withholds_is_looked_for(machine: Machine) -> None:
    """The remedy is the task that adds it; MySQL compares names without case."""
    without = one(dashboard.withheld_class(machine.context))
    machine.dashboard.add_class("ESPM_Withheld")
    having = one(dashboard.withheld_class(machine.context))

    assert (without.state, having.state) == (State.WARN, State.OK)
    assert "nodeclass:add name=espm_withheld" in without.remedy
