"""A node of the dashboard on its way out, and nodes that somebody else works on."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from espm import endings
from espm.classifier import dashboard_lives
from espm.classifier.dashboard import DashboardClassifier
from espm.errors import (
    BackendSilent,
    BackendUnavailable,
    CertnameTaken,
    InvalidClassification,
)
from espm.model import Certname, Classification
from espm.model.output import Output
from espm.nodes import add_node, change_node, delete_node
from tests.api.platform import PLATFORMS, Door, running
from tests.legacy.dashboard_host import OPTIONS
from tests.legacy.dashboard_subject import WEB, Subject, make_subject, node, with_parameters

if TYPE_CHECKING:
    from pathlib import Path

REFUSED = {"groups": [], "classes": ["espm_withheld"], "parameters": []}


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    """Return a dashboard 1.2.11."""
    return make_subject(tmp_path)


def test_a_withheld_node_has_one_class_and_no_group(subject: Subject) -> None:
    """Puppet has no such class, so it refuses the catalog."""
    subject.enc.classify(node(groups=("db",), classes={"ntp": {}}))
    subject.enc.withhold(node())

    assert subject.node() == REFUSED


def test_a_node_that_is_gone_is_refused_all_the_same(subject: Subject) -> None:
    """An ENC that does not know it would let it have a catalog without classes."""
    subject.enc.classify(node())
    subject.dashboard.remove_node(WEB)
    subject.enc.withhold(node())

    assert subject.node() == REFUSED


def test_without_the_class_nothing_is_left(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says once what to do about it, and a node that is gone stays gone."""
    row = subject.dashboard.store.find("classes", "espm_withheld")
    assert row
    subject.dashboard.store.remove(row)
    subject.enc.classify(node(groups=("db",), classes={"ntp": {}}))
    with caplog.at_level(logging.WARNING):
        subject.enc.withhold(node())
    left = subject.node()
    subject.dashboard.remove_node(WEB)
    subject.enc.withhold(node(generation=6))

    assert left == {"groups": [], "classes": [], "parameters": []}
    assert subject.node() is None
    assert [record.args for record in caplog.records] == [("espm_withheld", "espm_withheld")]


def test_a_class_that_was_dropped_is_missed(subject: Subject) -> None:
    """The node is not taken for withheld, and the next attempt finds out that it is not there."""
    row = subject.dashboard.store.find("classes", "espm_withheld")
    assert row
    subject.enc.classify(node())
    subject.enc.resolve(Classification(classes={"ntp": {}}))
    subject.host.before["node:classes"] = lambda: subject.dashboard.store.remove(row)

    with pytest.raises(BackendUnavailable, match="try again"):
        subject.enc.withhold(node())
    subject.enc.withhold(node())

    assert subject.host.tasks().count("nodeclass:list") == 2
    assert (subject.node() or {})["classes"] == []


@pytest.mark.parametrize("name", ["espm_withheld", "ESPM_Withheld"])
def test_nobody_is_given_the_class_that_withholds(name: str, subject: Subject) -> None:
    """To platforms it does not exist."""
    with pytest.raises(InvalidClassification, match="does not exist in the dashboard"):
        subject.enc.resolve(Classification(classes={name: {}}))


def test_a_later_life_gets_its_parameters(subject: Subject) -> None:
    """Those of the withheld node are changed into its own."""
    subject.enc.classify(with_parameters(1, role="web"))
    subject.dashboard.remove_node(WEB)
    subject.enc.withhold(node())
    subject.enc.classify(node(generation=6, parameters={"role": "web"}))

    assert (subject.node() or {})["parameters"] == [("role", "web")]


def test_a_node_that_was_removed_by_hand_is_added_again(subject: Subject) -> None:
    """At its next change."""
    subject.enc.classify(node(groups=("db",)))
    subject.dashboard.remove_node(WEB)
    subject.enc.classify(node(2, groups=("db",), classes={"ntp": {}}))

    assert subject.node() == {"groups": ["DB"], "classes": ["ntp"], "parameters": []}


def test_a_node_that_somebody_adds_meanwhile_is_not_touched(subject: Subject) -> None:
    """A change that finds it between its two tasks fails, and may be tried again."""
    subject.enc.classify(with_parameters(1, role="web"))
    subject.host.before["node:add"] = lambda: subject.dashboard.add_node(WEB, ["DB"])
    with pytest.raises(BackendUnavailable, match="somebody else works on"):
        subject.enc.classify(with_parameters(2, role="db"))

    assert subject.node() == {"groups": ["DB"], "classes": [], "parameters": []}


def test_a_node_that_goes_before_its_parameters_come(subject: Subject) -> None:
    """Is not said to be classified."""
    subject.host.before["node:parameters"] = lambda: subject.dashboard.remove_node(WEB)

    with pytest.raises(BackendUnavailable, match="somebody else works on"):
        subject.enc.classify(with_parameters(1, role="web"))


def test_what_was_begun_and_not_answered_is_ours(subject: Subject) -> None:
    """It is told again in full, and forgotten if that is wanted."""
    subject.enc.classify(with_parameters(1, role="web"))
    subject.host.instead["node:groups"] = BackendSilent("the host did not answer")
    with pytest.raises(BackendSilent):
        subject.enc.classify(node(2, classes={"ntp": {}}, parameters={"role": "web"}))
    del subject.host.instead["node:groups"]
    subject.enc.classify(node(2, classes={"ntp": {}}, parameters={"role": "web"}))
    said = subject.node()
    subject.enc.forget(node(2))

    assert said == {"groups": [], "classes": ["ntp"], "parameters": [("role", "web")]}
    assert subject.node() is None


def test_a_removal_that_did_nothing_is_noticed(subject: Subject) -> None:
    """The task is silent when it works, and may be when it does not; the ENC still has the node."""
    subject.enc.classify(node())
    subject.host.instead["node:del"] = Output(0, b"", b"")
    with pytest.raises(BackendUnavailable, match="the dashboard still has"):
        subject.enc.forget(node())
    subject.host.external_node = False
    subject.enc.forget(node())

    assert subject.host.tasks().count("node:del") == 2


def test_what_a_broken_change_left_is_not_taken_for_the_old(subject: Subject) -> None:
    """The old version is told again in full, as the use case takes a change back."""
    subject.enc.classify(with_parameters(1, role="web"))
    subject.host.instead["node:parameters"] = BackendSilent("the host did not answer")
    with pytest.raises(BackendSilent):
        subject.enc.classify(with_parameters(2, role="db"))
    del subject.host.instead["node:parameters"]
    subject.enc.classify(with_parameters(3, role="web"))

    assert (subject.node() or {})["parameters"] == [("role", "web")]


def test_names_are_looked_for_once_in_a_while(subject: Subject) -> None:
    """Only what seems unknown is looked for afresh, and not by every request of a burst."""
    subject.enc.resolve(Classification(groups=("db",)))
    subject.enc.resolve(Classification(groups=("web servers",)))
    subject.dashboard.add_group("new")
    for _ in range(2):
        with pytest.raises(InvalidClassification):
            subject.enc.resolve(Classification(groups=("new",)))

    assert subject.host.tasks() == ["nodegroup:list"]


def test_one_look_is_enough_for_a_request(subject: Subject) -> None:
    """Also where names are not kept at all."""
    enc = DashboardClassifier(subject.host, {**OPTIONS, "classes_cache": 0.0})
    enc.resolve(Classification(groups=("db",), classes={"ntp": {}}))

    assert subject.host.tasks() == ["nodeclass:list", "nodegroup:list"]


def test_a_bare_node_needs_no_look(subject: Subject) -> None:
    """Where neither groups nor classes are wanted, one task and one question are enough."""
    subject.enc.classify(node())

    assert subject.host.calls == [("rake", "node:add", f"name={WEB}"), ("enc", WEB)]


def test_only_the_latest_names_are_remembered(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was dropped is told anew, as after a restart."""
    monkeypatch.setattr(dashboard_lives, "REMEMBERED", 1)
    subject.enc.classify(node())
    subject.enc.classify(replace(node(), certname=Certname("web2.example.com")))

    assert subject.enc.knows(WEB)
    assert not subject.enc.knows(Certname("web2.example.com"))


def test_many_nodes_at_once(subject: Subject) -> None:
    """Each comes out as it was told."""
    names = [Certname(f"web{number}.example.com") for number in range(20)]
    nodes = [replace(node(groups=("db",)), certname=name) for name in names]
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(subject.enc.classify, nodes))

    assert all((subject.dashboard.node(name) or {})["groups"] == ["DB"] for name in names)


def test_the_life_of_a_node(subject: Subject, tmp_path: Path) -> None:
    """Added, changed and deleted by the use cases; somebody else's node stays as it is."""
    subject.dashboard.add_node("theirs.example.com", ["DB"])
    theirs = subject.dashboard.node("theirs.example.com")
    (tmp_path / "espm").mkdir()
    with running(tmp_path / "espm", Door("", "")) as espm:
        ports = replace(espm.ports, classifier=subject.enc, check_classes=False)
        cloud = PLATFORMS[0]
        with pytest.raises(CertnameTaken):
            add_node(cloud, Certname("theirs.example.com"), Classification(), ports, request_id="r")
        add_node(cloud, WEB, Classification(groups=("db",)), ports, request_id="r")
        changed = Classification(classes={"ntp": {}})
        change_node(cloud, WEB, changed, ports, request_id="r")
        said = subject.node()
        delete_node(cloud, WEB, ports, request_id="r")
        add_node(cloud, WEB, changed, ports, request_id="r")

    assert said == {"groups": [], "classes": ["ntp"], "parameters": []} == subject.node()
    assert theirs == subject.dashboard.node("theirs.example.com")


def test_an_addition_that_was_not_begun_takes_nothing_away(
    subject: Subject, tmp_path: Path
) -> None:
    """An espm that died before its task undoes the reservation, and finds no node to remove."""
    (tmp_path / "espm").mkdir()
    with running(tmp_path / "espm", Door("", "")) as espm:
        ports = replace(espm.ports, classifier=subject.enc)
        reserved, intent = ports.ledger.reserve(WEB, "cloud", Classification(), request_id="r")
        errors = endings.finish_all([(reserved, intent)], ports)

    assert errors == []
    assert subject.host.tasks() == ["node:del"]
    assert subject.node() is None
