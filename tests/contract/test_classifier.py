"""What every way to tell Puppet what a node is must do (espm.ports.Classifier)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from espm.classifier.builtin import BuiltinClassifier
from espm.classifier.directory import prepare
from espm.errors import BackendRefused, InvalidClassification
from espm.model import Catalogable, Certname, Classification, Node, NodeState

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

    :ivar told: takes a certname; returns the environment, None for a node nobody knows, or
        "refused" for one whose catalogs are withheld.
    """

    classifier: Classifier
    told: Callable[[str], str | None]


def builtin(tmp_path: Path) -> Subject:
    """Return the built-in ENC on a scratch directory."""
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

    return Subject(classifier, told)


@pytest.fixture(params=[builtin])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    """Return each classifier in turn."""
    made: Subject = request.param(tmp_path)
    return made


def node(**changes: Any) -> Node:
    """Return an active node with an environment of its own version."""
    made = Node(5, Certname("web1"), "cloud", NodeState.ACTIVE, 1, Classification("v1"), NOW, NOW)
    return replace(made, **changes)


def version(number: int, **changes: Any) -> Node:
    """Return the node at a version that can be told from others."""
    return node(version=number, classification=Classification(f"v{number}"), **changes)


def test_groups_and_node_are_merged(subject: Subject) -> None:
    """The group's environment holds where the node names none."""
    said = Classification(None, ("web",), {"ntp": {}}, {"a": 1})
    expected = Catalogable("staging", {"apache": {"port": 80}, "ntp": {}}, {"role": "web", "a": 1})

    assert expected == subject.classifier.resolve(said)


@pytest.mark.parametrize("names", [("nobody",), ("web", "nobody"), ("web", "db")])
def test_unknown_and_contradicting_groups_are_refused(
    names: tuple[str, ...], subject: Subject
) -> None:
    """Each fault is told."""
    with pytest.raises(InvalidClassification) as caught:
        subject.classifier.resolve(Classification(groups=names))

    assert len(caught.value.faults) == 1


def test_groups_are_ordered_by_name(subject: Subject) -> None:
    """Whatever the ENC's own order."""
    assert [group.name for group in subject.classifier.groups()] == ["db", "web"]


def test_what_nobody_else_classifies_is_not_known(subject: Subject) -> None:
    """Neither before nor after we classify it ourselves."""
    assert subject.classifier.knows(Certname("web1")) is False

    subject.classifier.classify(node())

    assert subject.classifier.knows(Certname("web1")) is False


def test_classifying_is_idempotent_and_only_goes_forward(subject: Subject) -> None:
    """A late writer of an earlier version changes nothing; one of an earlier life is told so."""
    for each in (version(2), version(2), version(1)):
        subject.classifier.classify(each)
    with pytest.raises(BackendRefused):
        subject.classifier.classify(version(9, generation=4))

    assert subject.told("web1") == "v2"

    subject.classifier.classify(version(3))

    assert subject.told("web1") == "v3"


def test_nothing_brings_back_what_is_withheld(subject: Subject) -> None:
    """Not a later version, only a later life of the name."""
    subject.classifier.classify(version(2))
    for each in (version(2), version(2)):
        subject.classifier.withhold(each)
    subject.classifier.classify(version(3))

    assert subject.told("web1") == "refused"

    subject.classifier.classify(version(1, generation=6))

    assert subject.told("web1") == "v1"


def test_withholding_and_forgetting_spare_later_generations(subject: Subject) -> None:
    """A successor of the name has nothing to fear from a late deletion."""
    subject.classifier.classify(version(1, generation=6))
    subject.classifier.withhold(node())
    subject.classifier.forget(node())

    assert subject.told("web1") == "v1"


def test_forgetting_is_idempotent_and_leaves_nothing(subject: Subject) -> None:
    """Also of a withheld node, and a late writer does not undo it."""
    subject.classifier.classify(node())
    subject.classifier.withhold(node())
    for _ in range(2):
        subject.classifier.forget(node())
    subject.classifier.classify(version(2))

    assert subject.told("web1") is None


def test_a_node_that_was_never_classified_can_be_withheld(subject: Subject) -> None:
    """A deletion does not depend on how far the addition came."""
    subject.classifier.withhold(node())

    assert subject.told("web1") == "refused"


def test_it_can_be_pinged(subject: Subject) -> None:
    """A ping of an ENC that works says nothing."""
    subject.classifier.ping()
