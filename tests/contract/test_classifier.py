"""What every way to tell Puppet what a node is must do (espm.ports.Classifier)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from espm.classifier.builtin import BuiltinClassifier
from espm.classifier.dashboard import DashboardClassifier
from espm.classifier.directory import prepare
from espm.errors import BackendRefused, InvalidClassification
from espm.model import Catalogable, Certname, Classification, Node, NodeState
from tests.legacy.dashboard import legacy_dashboard
from tests.legacy.dashboard_host import OPTIONS, DirectHost, helper_host
from tests.legacy.dashboard_version import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from espm.ports import Classifier

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GROUPS = """groups:
- {name: web, environment: staging, classes: {apache: {port: 80}}, parameters: {role: web}}
- {name: db, parameters: {role: db}}
"""


@dataclass(frozen=True)
class Subject:
    """A classifier, and how to see what Puppet is told.

    :ivar said: takes a word; returns a classification by which it can be told from others.
    :ivar told: takes a certname; returns the word, None for a node nobody knows, or "refused"
        for one whose catalogs are withheld.
    :ivar mergeable: what a platform might say of a node.
    :ivar merged: what becomes of that.
    :ivar clash: groups that contradict each other, where that shows before they are told.
    """

    classifier: Classifier
    said: Callable[[str], Classification]
    told: Callable[[str], str | None]
    mergeable: Classification
    merged: Catalogable
    clash: tuple[str, ...] = ()

    def version(self, number: int, **changes: Any) -> Node:
        """Return a node at a version that can be told from others."""
        made = Node(5, Certname("web1"), "cloud", NodeState.ACTIVE, number, PLAIN, NOW, NOW)
        return replace(made, classification=self.said(f"v{number}"), **changes)


PLAIN = Classification()


def builtin(tmp_path: Path) -> Subject:
    """Return the built-in ENC on a scratch directory; environments tell nodes apart."""
    directory, groups = tmp_path / "enc", tmp_path / "groups.yaml"
    directory.mkdir()
    prepare(directory)
    groups.write_text(GROUPS)
    classifier = BuiltinClassifier(directory, groups)
    classifier.load()

    def told(name: str) -> str | None:
        path = directory / f"{name}.json"
        if not path.exists():
            return None
        head, environment = path.read_text().split("\n")[:2]
        return "refused" if '"withheld"' in head else environment.split('"')[3]

    classes = {"apache": {"port": 80}, "ntp": {}}
    merged = Catalogable("staging", classes, {"role": "web", "a": "1"})
    mergeable = Classification(None, ("web",), {"ntp": {}}, {"a": "1"})
    return Subject(classifier, Classification, told, mergeable, merged, ("web", "db"))


def dashboard(tmp_path: Path, version: str) -> Subject:
    """Return a dashboard, where classes tell nodes apart, for all are in one environment.

    What a group has no task tells, so only names are merged and only the ENC finds groups that
    contradict each other (tests/legacy has that).
    """
    made = legacy_dashboard(tmp_path, "1.2.11" if version == "helper" else version)
    made.add_class("ntp", "apache", "espm_withheld", *(f"v{number}" for number in range(1, 10)))
    made.add_group("web", ["apache"])
    made.add_group("db")
    host = helper_host(made) if version == "helper" else DirectHost(made)
    classifier = DashboardClassifier(host, OPTIONS)

    def told(name: str) -> str | None:
        said = made.node(name)
        if said is None:
            return None
        assert said["groups"] == []
        return "refused" if said["classes"] == ["espm_withheld"] else str(*said["classes"])

    parameters = {} if version == "1.2.6" else {"a": "1"}  # That has no task for them.
    mergeable = Classification(None, ("web",), {"ntp": {}}, parameters)
    merged = Catalogable("production", {"ntp": {}}, parameters)
    return Subject(classifier, _with_class, told, mergeable, merged)


def _with_class(name: str) -> Classification:
    return Classification(classes={name: {}})


BACKENDS = [
    "builtin",
    *(f"dashboard-{version}" for version in VERSIONS),
    pytest.param("dashboard-helper", marks=pytest.mark.slow),
]


@pytest.fixture(params=BACKENDS)
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    """Return each classifier in turn, the dashboard in each version and behind the helper."""
    backend, _, version = request.param.partition("-")
    return dashboard(tmp_path, version) if backend == "dashboard" else builtin(tmp_path)


def test_groups_and_node_are_merged(subject: Subject) -> None:
    """The node's word and, where espm knows what is in the groups, theirs."""
    assert subject.merged == subject.classifier.resolve(subject.mergeable)


@pytest.mark.parametrize("names", [("nobody",), ("web", "nobody")])
def test_unknown_groups_are_refused(names: tuple[str, ...], subject: Subject) -> None:
    """Each fault is told."""
    with pytest.raises(InvalidClassification) as caught:
        subject.classifier.resolve(Classification(groups=names))

    assert len(caught.value.faults) == 1


def test_contradicting_groups_are_refused(subject: Subject) -> None:
    """Before anything is told, by who knows what is in the groups."""
    if not subject.clash:
        # Nothing contradicts itself that consists of names.
        assert subject.classifier.resolve(Classification(groups=("web", "db"))).classes == {}
        return
    with pytest.raises(InvalidClassification) as caught:
        subject.classifier.resolve(Classification(groups=subject.clash))

    assert len(caught.value.faults) == 1


def test_groups_are_ordered_by_name(subject: Subject) -> None:
    """Whatever the ENC's own order."""
    assert [group.name for group in subject.classifier.groups()] == ["db", "web"]


def test_what_nobody_else_classifies_is_not_known(subject: Subject) -> None:
    """Neither before nor after we classify it ourselves."""
    assert subject.classifier.knows(Certname("web1")) is False

    subject.classifier.classify(subject.version(1))

    assert subject.classifier.knows(Certname("web1")) is False


def test_classifying_is_idempotent_and_only_goes_forward(subject: Subject) -> None:
    """A late writer of an earlier version changes nothing; one of an earlier life is told so."""
    for each in (subject.version(2), subject.version(2), subject.version(1)):
        subject.classifier.classify(each)
    with pytest.raises(BackendRefused):
        subject.classifier.classify(subject.version(9, generation=4))

    assert subject.told("web1") == "v2"

    subject.classifier.classify(subject.version(3))

    assert subject.told("web1") == "v3"


def test_nothing_brings_back_what_is_withheld(subject: Subject) -> None:
    """Not a later version, only a later life of the name."""
    subject.classifier.classify(subject.version(2))
    for each in (subject.version(2), subject.version(2)):
        subject.classifier.withhold(each)
    subject.classifier.classify(subject.version(3))

    assert subject.told("web1") == "refused"

    subject.classifier.classify(subject.version(1, generation=6))

    assert subject.told("web1") == "v1"


def test_withholding_and_forgetting_spare_later_generations(subject: Subject) -> None:
    """A successor of the name has nothing to fear from a late deletion."""
    subject.classifier.classify(subject.version(1, generation=6))
    subject.classifier.withhold(subject.version(1))
    subject.classifier.forget(subject.version(1))

    assert subject.told("web1") == "v1"


def test_forgetting_is_idempotent_and_leaves_nothing(subject: Subject) -> None:
    """Also of a withheld node, and a late writer does not undo it."""
    subject.classifier.classify(subject.version(1))
    subject.classifier.withhold(subject.version(1))
    for _ in range(2):
        subject.classifier.forget(subject.version(1))
    subject.classifier.classify(subject.version(2))

    assert subject.told("web1") is None


def test_a_node_that_was_never_classified_can_be_withheld(subject: Subject) -> None:
    """A deletion does not depend on how far the addition came."""
    subject.classifier.withhold(subject.version(1))

    assert subject.told("web1") == "refused"


def test_it_can_be_pinged(subject: Subject) -> None:
    """A ping of an ENC that works says nothing."""
    subject.classifier.ping()
