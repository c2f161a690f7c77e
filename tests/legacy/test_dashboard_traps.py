"""The traps of the dashboard's tasks and of its ENC, one by one, and espm before them."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from espm.classifier import dashboard_offer
from espm.classifier.dashboard import DashboardClassifier
from espm.errors import (
    BackendRefused,
    BackendUnavailable,
    CertnameTaken,
    InvalidCertname,
    InvalidClassification,
)
from espm.model import Certname, Classification
from espm.model.output import Output
from tests.legacy.dashboard import legacy_dashboard
from tests.legacy.dashboard_host import OPTIONS, helper_host
from tests.legacy.dashboard_subject import WEB, Subject, make_subject, node, with_parameters
from tests.legacy.dashboard_version import VERSIONS

if TYPE_CHECKING:
    from pathlib import Path

WITH_PARAMETERS = VERSIONS[1:]


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    """Return a dashboard 1.2.11."""
    return make_subject(tmp_path)


@pytest.mark.parametrize(
    "said", [Classification(groups=("nosuch",)), Classification(classes={"nosuch": {}})]
)
def test_trap_unknown_names_are_dropped_silently(said: Classification, subject: Subject) -> None:
    """So they are refused before anything is told, with a fault for each."""
    with pytest.raises(InvalidClassification, match="'nosuch' does not exist in the dashboard"):
        subject.enc.resolve(said)

    assert subject.host.tasks()[-1].endswith(":list")


@pytest.mark.parametrize("external_node", [True, False])
@pytest.mark.parametrize(("what", "name"), [("classes", "ntp"), ("groups", "db")])
def test_trap_names_are_dropped_that_went_just_now(
    *,
    what: str,
    name: str,
    external_node: bool,
    subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What goes between espm's look and its task is missed afterwards, with or without an ENC."""
    monkeypatch.setattr(dashboard_offer, "FRESH", 0.0)
    store = subject.dashboard.store
    subject.host.external_node = external_node
    row = store.find(what, name)
    assert row
    subject.host.before["node:add"] = lambda: store.remove(row)
    wanted = node(classes={name: {}}) if what == "classes" else node(groups=(name,))

    with pytest.raises(BackendRefused, match=f"(?i){name}"):
        subject.enc.classify(wanted)
    subject.enc.forget(node())

    assert subject.node() is None


def test_trap_names_are_compared_without_case(subject: Subject) -> None:
    """Groups and classes are told as the dashboard spells them, none of them twice."""
    subject.enc.classify(
        node(groups=("db", "Web Servers", "DB"), classes={"apache": {}, "NTP": {}})
    )
    resolved = subject.enc.resolve(Classification(classes={"apache": {}}))

    assert (subject.node() or {})["groups"] == ["DB", "web servers"]
    assert (subject.node() or {})["classes"] == ["Apache", "ntp"]
    assert resolved.classes == {"apache": {}}


def test_trap_a_name_of_another_case_exists_already(subject: Subject) -> None:
    """It is somebody else's node all the same."""
    subject.dashboard.add_node("WEB1.Example.COM")

    assert subject.enc.knows(WEB)


def test_trap_names_are_regular_expressions(subject: Subject) -> None:
    """A dot is a dot, and a name is not found inside another."""
    for name in ("web1xexample.com", "xweb1.example.com", "web1.example.com.au"):
        subject.dashboard.add_node(name)

    assert not subject.enc.knows(WEB)


def test_trap_an_existing_node_is_somebody_elses(subject: Subject) -> None:
    """Who added one just before us keeps it, whatever happens to ours."""
    subject.host.before["node:add"] = lambda: subject.dashboard.add_node(WEB, ["DB"])
    with pytest.raises(CertnameTaken):
        subject.enc.classify(node())
    theirs = subject.node()
    subject.enc.classify(node(2))
    subject.enc.withhold(node())
    subject.enc.forget(node())

    assert theirs == subject.node()
    assert subject.enc.knows(WEB)


def test_trap_nothing_is_forgotten_that_is_forgotten(subject: Subject) -> None:
    """Whoever adds a node after ours has gone keeps it."""
    subject.enc.classify(node())
    subject.enc.forget(node())
    subject.dashboard.add_node(WEB)
    subject.enc.forget(node())

    assert subject.node() is not None
    assert subject.enc.knows(WEB)


@pytest.mark.parametrize("version", WITH_PARAMETERS)
def test_trap_a_parameter_that_is_set_again_is_there_twice(version: str, tmp_path: Path) -> None:
    """Each parameter that we change is there once; from 1.2.23 on, without a new node for it."""
    subject = make_subject(tmp_path, version)
    subject.enc.classify(with_parameters(1, role="web", dc="ams"))
    subject.enc.classify(with_parameters(2, role="db", dc="ams"))

    assert sorted((subject.node() or {})["parameters"]) == [("dc", "ams"), ("role", "db")]
    assert ("node:del" in subject.host.tasks()) is (version == "1.2.11")


@pytest.mark.parametrize("version", WITH_PARAMETERS)
def test_trap_no_task_takes_a_parameter_away(version: str, tmp_path: Path) -> None:
    """So the node is made anew."""
    subject = make_subject(tmp_path, version)
    subject.enc.classify(with_parameters(1, role="web", dc="ams"))
    subject.enc.classify(with_parameters(2, dc="ams"))

    assert (subject.node() or {})["parameters"] == [("dc", "ams")]


def test_trap_a_node_that_is_made_anew_is_unknown_meanwhile(subject: Subject) -> None:
    """So it is not made anew where parameters only come in, or stay."""
    subject.enc.classify(with_parameters(1, role="web"))
    subject.enc.classify(with_parameters(2, role="web", dc="ams"))
    subject.enc.classify(node(3, parameters={"role": "web", "dc": "ams"}, classes={"ntp": {}}))

    assert "node:del" not in subject.host.tasks()
    assert subject.node() == {
        "groups": [], "classes": ["ntp"], "parameters": [("role", "web"), ("dc", "ams")],
    }  # fmt: skip


@pytest.mark.parametrize("external_node", [True, False])
@pytest.mark.parametrize("parameters", [{}, {"role": "web"}])
def test_trap_no_task_reads_a_node_back(
    *, parameters: dict[str, str], external_node: bool, subject: Subject
) -> None:
    """After a restart it is changed in place only where the ENC shows that it has no parameters."""
    subject.enc.classify(with_parameters(1, **parameters))
    subject.host.external_node = external_node
    later = subject.restarted()
    later.enc.classify(with_parameters(2, role="db"))

    assert (later.node() or {})["parameters"] == [("role", "db")]
    assert ("node:del" not in later.host.tasks()) is (external_node and not parameters)


def test_trap_old_dashboards_have_no_task_for_parameters(tmp_path: Path) -> None:
    """They are refused with that reason after one look at the tasks; and no node needs to be made
    anew for them.
    """
    subject = make_subject(tmp_path, "1.2.6")
    for _ in range(2):
        with pytest.raises(InvalidClassification, match=r"older than 1\.2\.7"):
            subject.enc.resolve(Classification(parameters={"role": "web"}))
    subject.enc.classify(node(1, classes={"ntp": {}}))
    subject.host.external_node = False
    later = subject.restarted()
    later.enc.classify(node(2))

    assert subject.host.tasks().count("tasks") == 1
    assert later.host.tasks() == ["tasks", "node:classes", "node:groups"]
    assert subject.node() == {"groups": [], "classes": [], "parameters": []}


def test_trap_contradicting_groups_fail_the_node(subject: Subject) -> None:
    """The ENC says so, the caller hears it, and what was added is ours to take back."""
    for name, tier in (("a", "front"), ("b", "back")):
        subject.dashboard.add_group(name, (), {"tier": tier})
    with pytest.raises(InvalidClassification, match="groups give different values to tier"):
        subject.enc.classify(node(groups=("a", "b")))
    subject.enc.forget(node())

    assert subject.node() is None

    subject.enc.classify(node(generation=6, groups=("a", "b"), parameters={"tier": "own"}))

    assert subject.node() is not None


def test_trap_contradicting_groups_can_be_left(subject: Subject) -> None:
    """Also after a restart, when the groups began to contradict each other since."""
    for name in ("a", "b"):
        subject.dashboard.add_group(name)
    subject.enc.classify(node(groups=("a", "b")))
    for name, tier in (("a", "front"), ("b", "back")):
        group = subject.dashboard.store.find("groups", name)
        assert group
        subject.dashboard.store.set_parameters(group, {"tier": tier}, replace=True)
    subject.restarted().enc.classify(node(2, groups=("a",)))

    assert (subject.node() or {})["groups"] == ["a"]


@pytest.mark.parametrize(
    "value", ["a,b", "", " a", "a ", "a\nb", "a\tb", "\x00", "\x7f", "ä", "\ud800", "a" * 16_384]
)
def test_trap_lists_have_commas_and_blanks_are_stripped(value: str, subject: Subject) -> None:
    """What a task would make something else of is refused as a parameter and as a group."""
    for said in (Classification(parameters={"role": value}), Classification(groups=(value,))):
        with pytest.raises(InvalidClassification) as caught:
            subject.enc.resolve(said)

        assert re.search("cannot carry|carry only|more than 16384", caught.value.faults[0])


def test_trap_a_command_line_has_an_end(tmp_path: Path) -> None:
    """What is let through fits on it, also full of what a shell has to be kept from."""
    made = legacy_dashboard(tmp_path, "1.2.11")
    enc = DashboardClassifier(helper_host(made), OPTIONS)
    longest = {"role": "'" * 8_000, "dc": "$" * 8_000}
    enc.classify(node(parameters=longest))

    assert dict((made.node(WEB) or {})["parameters"]) == longest


@pytest.mark.parametrize("value", [1, 1.5, True, None, ["a"], {"a": "b"}])
def test_trap_all_values_are_strings(value: object, subject: Subject) -> None:
    """A value of another kind would arrive as a string, so it is refused."""
    with pytest.raises(InvalidClassification, match="write it as a string"):
        subject.enc.resolve(Classification(parameters={"role": value}))


def test_trap_classes_take_no_parameters(subject: Subject) -> None:
    """No task could carry them."""
    with pytest.raises(InvalidClassification, match="cannot give parameters to a class"):
        subject.enc.resolve(Classification(classes={"ntp": {"servers": "a"}}))


def test_trap_there_is_one_environment(subject: Subject) -> None:
    """Another one is refused; the one that there is can be named."""
    with pytest.raises(InvalidClassification, match="nodes are in 'production'"):
        subject.enc.resolve(Classification("staging"))

    assert subject.enc.resolve(Classification("production")).environment == "production"


def test_every_fault_is_told_at_once(subject: Subject) -> None:
    """One sentence for each."""
    with pytest.raises(InvalidClassification) as caught:
        subject.enc.resolve(
            Classification("staging", ("nosuch",), {"ntp": {"a": 1}}, {"role": 1, "dc": "a,b"})
        )

    assert len(caught.value.faults) == 5


HOSTILE = (
    "name=leak", "--all", "-T", "$(id)", "`id`", "';id;'", '"', "\\n", "a\\", "*", "a=b", "%0a",
    "node:del", "~", "true", "8080", "2026-01-01", "a: b", "# a", "- a", "!x", "&a", "{}", "yes",
)  # fmt: skip


def test_trap_whatever_is_carried_arrives_as_it_was(tmp_path: Path) -> None:
    """Through helper, rake and ENC, options, commands and YAML are only texts."""
    made = legacy_dashboard(tmp_path, "1.2.11")
    for name in HOSTILE:
        made.add_group(name)
    enc = DashboardClassifier(helper_host(made), OPTIONS)
    parameters = {f"p{number}": value for number, value in enumerate(HOSTILE)}
    enc.classify(node(groups=HOSTILE, parameters=parameters))

    said = made.node(WEB) or {}
    assert said["groups"] == list(HOSTILE)
    assert dict(said["parameters"]) == parameters
    assert [row.name for row in made.store.all("nodes", "id")] == [WEB]


def test_trap_variables_of_the_caller_are_arguments(tmp_path: Path) -> None:
    """The helper runs rake with an environment of its own."""
    made = legacy_dashboard(tmp_path, "1.2.6")
    made.add_group("leak")
    helper_host(made)
    done = subprocess.run(
        [made.directory / "espm_tools", "rake", "node:add", f"name={WEB}"],
        env={"groups": "leak", "name": "leak", "PATH": "/usr/bin:/bin"},
        check=False,
        capture_output=True,
    )

    assert done.stdout == b"Node successfully created!\n"
    assert made.node(WEB) == {"groups": [], "classes": [], "parameters": []}


def test_trap_an_old_rake_names_its_directory(subject: Subject) -> None:
    """That line is no group, where somebody's rake prints it all the same."""
    listed = b"(in /opt/puppet/share/puppet-dashboard)\nDB\n"
    subject.host.instead["nodegroup:list"] = Output(0, listed, b"")

    assert [group.name for group in subject.enc.groups()] == ["DB"]


def test_trap_an_unknown_node_has_no_classes(subject: Subject) -> None:
    """A node that went while it was being told is missed."""
    subject.host.before["enc"] = lambda: subject.dashboard.remove_node(WEB)

    with pytest.raises(BackendRefused, match="class ntp"):
        subject.enc.classify(node(classes={"ntp": {}}))


def test_trap_a_value_may_arrive_as_another_one(subject: Subject) -> None:
    """A database that cuts it short, say: Puppet would be told something that nobody said."""
    store = subject.dashboard.store

    def cut() -> None:
        row = store.find("nodes", WEB)
        assert row
        store.set_parameters(row, {"role": "we"}, replace=True)

    subject.host.before["enc"] = cut

    with pytest.raises(BackendRefused, match="parameter role"):
        subject.enc.classify(with_parameters(1, role="web"))


@pytest.mark.parametrize(
    ("mode", "error"), [("down", BackendUnavailable), ("disabled", BackendRefused)]
)
def test_trap_the_enc_does_not_answer(mode: str, error: type[Exception], subject: Subject) -> None:
    """Nothing is said to be in force that nobody could see; withholding does not wait for it."""
    subject.dashboard.set_mode(mode)
    with pytest.raises(error):
        subject.enc.classify(node(classes={"ntp": {}}))
    subject.enc.withhold(node())

    assert (subject.node() or {})["classes"] == ["espm_withheld"]


def test_trap_names_may_begin_with_what_the_helper_refuses(subject: Subject) -> None:
    """The caller is told before anything is done."""
    with pytest.raises(InvalidCertname):
        subject.enc.knows(Certname("_web1"))

    assert subject.host.calls == []
