"""The built-in ENC: groups and documents held together, and reloads that refuse."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from espm.classifier.builtin import BuiltinClassifier, connect
from espm.classifier.recent import Recent
from espm.classifier.stamp import Stamp, State
from espm.errors import BackendUnavailable, ConfigError, GroupsError, InvalidClassification
from espm.model import Catalogable, Certname, Classification, Node, NodeState, PuppetAccess

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD = (
    "groups:\n- {name: web, classes: {apache: {port: 80}}}\n- {name: db, parameters: {role: db}}\n"
)


def node(name: str = "web1", *groups: str, **changes: Any) -> Node:
    """Return an active node."""
    made = Node(
        generation=1,
        certname=Certname(name),
        platform="cloud",
        state=NodeState.ACTIVE,
        version=1,
        classification=Classification(groups=groups or ("web",)),
        created=NOW,
        updated=NOW,
    )
    return replace(made, **changes)


@pytest.fixture
def groups_file(tmp_path: Path) -> Path:
    """Return a sound groups file."""
    path = tmp_path / "groups.yaml"
    path.write_text(OLD)
    return path


@pytest.fixture
def enc(directory: Path, groups_file: Path) -> BuiltinClassifier:
    """Return the ENC with its groups loaded."""
    made = BuiltinClassifier(directory, groups_file)
    made.load()
    return made


def said(directory: Path, name: str = "web1") -> dict[str, Any]:
    """Return what Puppet is told of a node."""
    content: dict[str, Any] = json.loads((directory / f"{name}.json").read_text())
    return content


def test_groups_are_ordered_by_name(enc: BuiltinClassifier) -> None:
    """The administrator's order is not part of the answer."""
    assert [group.name for group in enc.groups()] == ["db", "web"]


def test_a_classified_node_has_its_groups_in_its_document(
    enc: BuiltinClassifier, directory: Path
) -> None:
    """Groups and node are merged; an environment is always named."""
    enc.classify(node(classification=Classification(None, ("web", "db"), {"ntp": {}}, {"a": 1})))

    content = said(directory)
    assert content["environment"] == "production"
    assert content["classes"] == {"apache": {"port": 80}, "ntp": {}}
    assert content["parameters"] == {"role": "db", "a": 1}
    assert {"web1": Stamp(1, 1, State.PRESENT)} == enc._documents.stamps()


def test_resolving_refuses_what_classifying_would(enc: BuiltinClassifier) -> None:
    """A value that Puppet could not read is refused before anything is begun."""
    with pytest.raises(InvalidClassification, match="merge"):
        enc.resolve(Classification(parameters={"a": {"<<": 1}}))
    assert Catalogable("production", {}, {}) == enc.resolve(Classification())


def test_a_withheld_node_stays_withheld(enc: BuiltinClassifier) -> None:
    """A late change brings nothing back."""
    enc.classify(node())
    enc.withhold(node())
    enc.classify(node(version=2))

    assert {"web1": Stamp(1, 1, State.WITHHELD)} == enc._documents.stamps()


def test_a_forgotten_node_stays_forgotten(enc: BuiltinClassifier) -> None:
    """A late change brings nothing back, a new life of the name does."""
    enc.classify(node())
    enc.forget(node())
    enc.classify(node(version=2))

    assert enc._documents.stamps() == {}

    enc.classify(node(generation=2))
    enc.forget(node())

    assert {"web1": Stamp(2, 1, State.PRESENT)} == enc._documents.stamps()


def test_ping_fails_where_the_directory_is_not_there(tmp_path: Path, groups_file: Path) -> None:
    """Readiness tells a missing mount."""
    with pytest.raises(BackendUnavailable, match="is it mounted"):
        BuiltinClassifier(tmp_path / "none", groups_file).ping()


def test_a_reload_rewrites_exactly_what_changes(
    enc: BuiltinClassifier, directory: Path, groups_file: Path
) -> None:
    """Versions stay; a document that is the same is not touched; others are orphans."""
    nodes = [node("web1"), node("db1", "db")]
    for each in (*nodes, node("stray")):
        enc.classify(each)
    enc._recent = Recent()  # as after a restart
    untouched = (directory / "db1.json").stat().st_ino
    groups_file.write_text(OLD.replace("80", "8080"))

    assert enc.reload(nodes) == (("web1",), ("stray",))
    assert said(directory)["classes"] == {"apache": {"port": 8080}}
    assert Stamp(1, 1, State.PRESENT) == enc._documents.stamps()["web1"]
    assert untouched == (directory / "db1.json").stat().st_ino
    assert enc.resolve(node().classification).classes == {"apache": {"port": 8080}}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("groups: [", "line 1: "),
        ("groups: [{name: db}]", "node web1: group 'web' does not exist"),
        (
            "groups: [{name: web, environment: a}, {name: db, environment: b}]",
            "node both: the groups 'web', 'db' disagree on the environment; set it on the node",
        ),
    ],
)
def test_a_reload_that_does_not_fit_changes_nothing(
    text: str, fault: str, enc: BuiltinClassifier, directory: Path, groups_file: Path
) -> None:
    """The old groups stay in force, and the error says why."""
    nodes = [node("web1"), node("both", "web", "db")]
    enc.classify(nodes[0])
    before = said(directory)
    groups_file.write_text(text)
    with pytest.raises(GroupsError) as caught:
        enc.reload(nodes)

    assert any(fault in line for line in caught.value.faults), caught.value.faults
    assert before == said(directory)
    assert [group.name for group in enc.groups()] == ["db", "web"]


def test_the_code_that_puppet_has_is_asked_for_each_group(
    enc: BuiltinClassifier, groups_file: Path
) -> None:
    """The checker sees a group with its ancestors, and its findings refuse the file."""
    groups_file.write_text(OLD + "- {name: child, parent: web, environment: dev}\n")

    def check(group: Catalogable) -> list[str]:
        port = group.classes.get("apache", {}).get("port")
        return [f"no port {port} in {group.environment}"] if port else []

    for attempt in (lambda: enc.load(check), lambda: enc.reload([], check)):
        with pytest.raises(GroupsError) as caught:
            attempt()
        assert list(caught.value.faults) == [
            "group 'web': no port 80 in production",
            "group 'child': no port 80 in dev",
        ]
    assert len(enc.groups()) == 2


def test_a_node_on_its_way_out_holds_no_group(enc: BuiltinClassifier, groups_file: Path) -> None:
    """Nothing is said of a node that is being deleted, so its groups may go."""
    leaving = node(state=NodeState.DELETING)
    enc.withhold(leaving)
    groups_file.write_text("")
    enc.reload([leaving])

    assert {"web1": Stamp(1, 1, State.WITHHELD)} == enc._documents.stamps()
    assert enc.groups() == []


def test_a_node_on_its_way_in_is_not_published_by_a_reload(enc: BuiltinClassifier) -> None:
    """It is not known yet whether the name is somebody else's."""
    assert enc.reload([node(state=NodeState.ADDING)]) == ((), ())
    assert enc._documents.stamps() == {}


def test_a_change_that_the_ledger_does_not_show_yet_gets_the_new_groups(
    enc: BuiltinClassifier, directory: Path, groups_file: Path
) -> None:
    """A PUT publishes before it commits; a reload in between must not leave old groups."""
    enc.classify(node())
    enc.classify(node(version=2))
    groups_file.write_text(OLD.replace("80", "8080"))
    enc.reload([node()])

    assert said(directory)["classes"] == {"apache": {"port": 8080}}
    assert said(directory)["espm"]["version"] == 2


def test_what_is_remembered_of_recent_nodes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy espm does not grow."""
    monkeypatch.setattr("espm.classifier.recent.REMEMBERED", 2)
    recent = Recent()
    for name in ("a1", "b1", "c1"):
        recent.add(node(name))

    assert list(recent.newest(())) == ["b1", "c1"]


def test_a_rebuild_makes_documents_what_the_ledger_says(
    enc: BuiltinClassifier, directory: Path
) -> None:
    """Lost, damaged and later documents are written anew; orphans are told, not removed."""
    nodes = [
        *(node("lost"), node("damaged"), node("later")),
        *(node("dying", state=NodeState.DELETING), node("foreign", state=NodeState.DELETING)),
        node("coming", state=NodeState.ADDING),
    ]
    (directory / "damaged.json").write_text("x")
    enc.classify(node("later", generation=9))
    enc.classify(node("dying"))
    enc.classify(node("orphan"))
    (directory / ".aside-1").touch()

    assert enc.rebuild(nodes) == (("lost", "damaged", "later", "dying"), ("orphan",))
    assert {
        "damaged": Stamp(1, 1, State.PRESENT),
        "dying": Stamp(1, 1, State.WITHHELD),
        "later": Stamp(1, 1, State.PRESENT),
        "lost": Stamp(1, 1, State.PRESENT),
        "orphan": Stamp(1, 1, State.PRESENT),
    } == enc._documents.stamps()
    assert not (directory / ".aside-1").exists()


def options(directory: Path, groups_file: Path, **changes: str) -> dict[str, str]:
    """Return the section of the configuration."""
    return {
        "directory": str(directory),
        "groups_file": str(groups_file),
        "group": "puppet",
        "fallback": "",
        "environment": "production",
        **changes,
    }


ACCESS = PuppetAccess("", "", "", "", "")


def test_connecting_loads_the_groups_and_sweeps(directory: Path, groups_file: Path) -> None:
    """What a killed espm left aside goes at the next start."""
    (directory / ".aside-1").touch()
    enc = connect(options(directory, groups_file), ACCESS)

    assert len(enc.groups()) == 2
    assert not (directory / ".aside-1").exists()
    assert enc.knows(Certname("web1")) is False


def test_connecting_does_not_need_the_directory(tmp_path: Path, groups_file: Path) -> None:
    """Whether it is there is what readiness says; the daemon starts and waits for it."""
    assert len(connect(options(tmp_path / "none", groups_file), ACCESS).groups()) == 2


@pytest.mark.parametrize(
    "wrong", [{"fallback": "enc --fast"}, {"environment": "Prod"}, {"groups_file": "/nonexistent"}]
)
def test_connecting_refuses_what_is_wrong(
    wrong: dict[str, str], directory: Path, groups_file: Path
) -> None:
    """A relative program, a bad environment, a missing file."""
    with pytest.raises(ConfigError):
        connect({**options(directory, groups_file), **wrong}, ACCESS)


@pytest.mark.parametrize(
    ("script", "known"),
    [
        ("echo 'classes: {ntp: {}}'", False),
        ("echo '{}'", False),
        ("", False),
        ("echo 'environment: dev'", False),
        ('echo "classes: {}"; echo "parameters: {}"; echo "environment: $2"', False),
        ('echo "parameters: {fqdn: $2, host: ${2%%.*}}"', False),
        ('case $2 in *.example.com) echo "classes: [a]";; *) echo "classes: [b]";; esac', False),
        ('case $2 in web1.*) echo "classes: [a]";; *) echo "classes: [b]";; esac', True),
        ('case $2 in web1.*) echo "classes: [a]";; *) exit 1;; esac', True),
        ('case $2 in web1.*) echo "parameters: {a: 1}";; *) echo "{}";; esac', True),
        ('case $2 in web1.*) echo "{}";; *) echo "classes: [b]";; esac', False),
        ("exit 1", False),
    ],
)
def test_what_the_fallback_knows(
    script: str, directory: Path, groups_file: Path, tmp_path: Path, *, known: bool
) -> None:
    """Classes or parameters, and others than for a name that nobody has."""
    program = tmp_path / "fallback"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    enc = connect(options(directory, groups_file, fallback=f"{program}  -x "), ACCESS)

    assert known is enc.knows(Certname("web1.example.com"))


@pytest.mark.parametrize(
    "script", ["#!/nonexistent\n", "#!/bin/sh\nexit 127\n", "#!/bin/sh\nkill -9 $$\n"]
)
def test_a_fallback_that_cannot_be_run_is_not_an_answer(
    script: str, directory: Path, groups_file: Path, tmp_path: Path
) -> None:
    """Unknown is what it says, not what it fails to say."""
    program = tmp_path / "fallback"
    program.write_text(script)
    program.chmod(0o755)
    enc = connect(options(directory, groups_file, fallback=str(program)), ACCESS)
    with pytest.raises(BackendUnavailable):
        enc.knows(Certname("web1.example.com"))


def test_orphans_are_told_and_nothing_is_written(enc: BuiltinClassifier, directory: Path) -> None:
    """Active nodes without a document, and documents, damaged ones too, without a live node."""
    nodes = [
        *(node("fine"), node("lacking"), node("coming", state=NodeState.ADDING)),
        *(node("dying", state=NodeState.DELETING), node("dead", state=NodeState.DELETING)),
    ]
    for name in ("fine", "dying", "strange"):
        enc.classify(node(name))
    (directory / "damaged.json").write_text("x")
    before = sorted(path.name for path in directory.iterdir())

    assert enc.orphans(nodes) == (("lacking",), ("damaged", "strange"))
    assert sorted(path.name for path in directory.iterdir()) == before
