"""The groups file: what it says, and every mistake in it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from espm.classifier import groups
from espm.classifier.merge import merge
from espm.errors import ConfigError, GroupsError, InvalidClassification
from espm.model import Catalogable, Classification, Group
from espm.names import HINTS

if TYPE_CHECKING:
    from pathlib import Path

SOUND = b"""
groups:
  - name: base
    environment: production
    classes: [ntp, "apache::mod::ssl"]
  - name: web servers
    parent: base
    classes:
      apache: {default_vhost: false}
      php:
    parameters: {role: web, weight: 1.5, ports: [80, 443], nothing: null}
"""


def test_a_sound_file_is_its_groups() -> None:
    """Classes may be a list or a mapping; both come out as a mapping."""
    assert {
        "base": Group("base", None, "production", {"ntp": {}, "apache::mod::ssl": {}}, {}),
        "web servers": Group(
            "web servers",
            "base",
            None,
            {"apache": {"default_vhost": False}, "php": {}},
            {"role": "web", "weight": 1.5, "ports": [80, 443], "nothing": None},
        ),
    } == groups.parse(SOUND)


@pytest.mark.parametrize("text", [b"", b"# nothing\n", b"groups:\n", b"groups: []\n", b"---\n"])
def test_an_empty_file_has_no_groups(text: bytes) -> None:
    """Groups are a convenience; espm works without them."""
    assert groups.parse(text) == {}


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    """No file is not an empty file."""
    with pytest.raises(ConfigError, match=r"groups\.yaml: No such file"):
        groups.read(tmp_path / "groups.yaml")


def test_faults_name_the_file(tmp_path: Path) -> None:
    """An administrator sees which file to edit, and where."""
    path = tmp_path / "groups.yaml"
    path.write_text("groups: 1\n")
    with pytest.raises(GroupsError) as caught:
        groups.read(path)

    assert (f"{path}: line 1: 'groups' is not a list",) == caught.value.faults


def entry(text: str) -> str:
    """Return a file with one group that has *text* in it."""
    return f"groups:\n- name: a\n  {text}\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("groups: {", "line 1: expected"),
        ("\nx: [", "line 2: expected"),
        ("a: 1\n--- \nb: 2\n", "line 2: but found another document"),
        ("- 1", "line 1: not a mapping with the key 'groups'"),
        ("group: []", "line 1: unknown key 'group'; did you mean 'groups'?"),
        ("groups: []\ngroups: []", "line 2: the key 'groups' is there twice (first in line 1)"),
        ("groups: [x]", "group number 1: not a mapping with a name"),
        ("groups: [{parent: x}]", "line 1: group number 1 has no usable name"),
        ('groups: [{name: "a\\nb"}]', "line 1: group number 1 has no usable name"),
        ("groups: [{name: 7}]", "line 1: group number 1 has no usable name"),
        (
            "groups:\n- name: a\n- name: a\n",
            "line 3: group 'a' is there twice (first in line 2)",
        ),
        (entry("enviroment: x"), "line 3: group 'a': unknown key 'enviroment'; did you mean 'env"),
        (entry("parent: bb"), "line 2: group 'a': its parent 'bb' does not exist"),
        (entry("parent: a"), "line 2: group 'a': it is its own ancestor"),
        (entry("parent: [a]"), "line 2: group 'a': 'parent' is not a string"),
        (entry("environment: 1"), "line 2: group 'a': 'environment' is not a string"),
        (entry("environment: Prod/1"), "line 2: group 'a': environment 'Prod/1': not an env"),
        (entry("classes: ntp"), "group 'a': 'classes' is neither a mapping nor a list"),
        (entry("classes: [1]"), "group 'a': 'classes' has an entry that is not a name"),
        (entry("classes: [b, b]"), "group 'a': class 'b' is there twice"),
        (entry("classes: [Ntp]"), "group 'a': class 'Ntp': not a class name"),
        (entry("classes: ['::ntp']"), "group 'a': class '::ntp': not a class name"),
        (entry("classes: [settings]"), "group 'a': class 'settings': reserved by Puppet"),
        (entry("classes: {b: 1}"), "group 'a': class 'b': not a mapping of parameters"),
        (entry("classes: {b: {B: 1}}"), "group 'a': parameter 'B': not a parameter name"),
        (entry("parameters: [b]"), "group 'a': parameters: not a mapping"),
        (entry("parameters: {a-b: 1}"), "group 'a': parameter 'a-b': not a parameter name"),
        (entry("parameters: {trusted: 1}"), "group 'a': parameter 'trusted': reserved by Puppet"),
        (entry("parameters: {b: 2020-01-01}"), "line 3: a value of the YAML type 'timestamp'"),
        (entry("parameters: {b: !!set {x}}"), "line 3: a value of the YAML type 'set'"),
        (entry("parameters: {b: !!binary eA==}"), "line 3: a value of the YAML type 'binary'"),
        (entry("parameters: {b: !!omap [x: 1]}"), "line 3: a value of the YAML type 'omap'"),
        (entry("parameters: {b: !ruby/object:X {}}"), "line 3: a value of the YAML type '!ruby"),
        (entry("parameters: {b: .inf}"), "line 3: '.inf' is a number that JSON does not have"),
        (entry("parameters: {b: !!int x}"), "line 3: 'x' is not a value of its type"),
        (entry("parameters: {b: {1: x}}"), "line 3: the key '1' is not a string: quote it"),
        (entry("parameters: {b: {yes: x}}"), "line 3: the key 'yes' is not a string: quote it"),
        (entry("parameters: {b: {x: 1, x: 2}}"), "line 3: the key 'x' is there twice"),
        (entry("parameters: {b: {<<: {x: 1}}}"), "line 3: the key '<<' is not a string"),
        (entry("parameters: {b: {? !!str [x] : 1}}"), "line 3: the key that is not a string"),
        (entry("parameters: {b: {'<<': 1}}"), "group 'a': parameters: parameter 'b': the key '<<'"),
        (entry('parameters: {b: "\\uD800"}'), "half of a surrogate pair"),
        (entry("parameters: {b: &x [*x]}"), "line 3: nested deeper than 32 levels"),
        (entry("parameters: {b: " + "[" * 40 + "]" * 40 + "}"), "line 3: nested deeper than"),
        ("[" * 100_000, "nested too deep"),
        ("a: \x00", "not YAML"),
        ("# " + "x" * 1024 * 1024, "more than 1048576 bytes"),
    ],
    ids=lambda text: ascii(text)[:50],
)
def test_a_mistake_is_refused_and_told(text: str, fault: str) -> None:
    """Each mistake is told with its line, or the group's."""
    with pytest.raises(GroupsError) as caught:
        groups.parse(text.encode())

    assert any(fault in line for line in caught.value.faults), caught.value.faults


def test_bytes_that_are_no_text_are_refused() -> None:
    """Latin-1 is not guessed at."""
    with pytest.raises(GroupsError, match="not UTF-8"):
        groups.parse(b"groups: [{name: \xe9}]")


def test_aliases_cannot_blow_up() -> None:
    """A kilobyte of aliases of aliases is not expanded to gigabytes."""
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 25)]
    with pytest.raises(GroupsError, match="more than 100000 values"):
        groups.parse("\n".join(lines).encode())


def test_all_faults_are_told_at_once() -> None:
    """Nobody mends a file one fault at a time."""
    text = b"""groups:
- {name: a, parent: b}
- {name: b, parent: a, colour: red}
- {name: c, parent: zz, environment: A B, classes: [X, y], parameters: {facts: 1, d: 2020-01-01}}
"""
    with pytest.raises(GroupsError) as caught:
        groups.parse(text)

    assert list(caught.value.faults) == [
        (
            "line 4: a value of the YAML type 'timestamp' is not allowed here: "
            "quote it to make it a string"
        ),
        "line 3: group 'b': unknown key 'colour'",
        "line 4: group 'c': environment 'A B': not an environment name (only a-z, 0-9 and '_')",
        (
            "line 4: group 'c': class 'X': not a class name (segments of a-z, 0-9 and '_', "
            "each starting with a letter, joined by '::')"
        ),
        "line 4: group 'c': parameter 'facts': reserved by Puppet",
        "line 2: group 'a': it is its own ancestor",
        "line 3: group 'b': it is its own ancestor",
        "line 4: group 'c': its parent 'zz' does not exist",
    ]


def told(text: str, **said: Any) -> Catalogable:
    """Return what Puppet is told with the groups in *text* (a list in YAML)."""
    return merge(Classification(**said), groups.parse(f"groups: {text}".encode()), "fallback")


FAMILY = """[
  {name: root, environment: production, classes: {ntp: {a: 1, b: 1}, base: {}}, parameters: {p: 1}},
  {name: web, parent: root, classes: {ntp: {b: 2, c: 2}}, parameters: {p: 2}},
  {name: db, parent: root, classes: {ntp: {c: 3}}, parameters: {q: 3}},
  {name: odd, environment: testing, parameters: {p: 9, q: 3}}]"""


def test_parents_come_first_and_later_groups_win_for_classes() -> None:
    """Class parameters are merged one by one; the node's own word is the last."""
    found = told(FAMILY, groups=("web", "db"), classes={"ntp": {"d": 4, "a": 4}, "own": {}})

    assert found.classes == {"ntp": {"a": 4, "b": 2, "c": 3, "d": 4}, "base": {}, "own": {}}


def test_the_order_of_groups_is_the_nodes() -> None:
    """The same groups the other way round."""
    found = told(FAMILY, groups=("db", "web"))

    assert found.classes["ntp"]["c"] == 2


def test_a_group_overrides_its_ancestors() -> None:
    """That is no contradiction, also when both are named, in whichever order."""
    for names in (("web",), ("root", "web"), ("web", "root"), ("web", "db")):
        found = told(FAMILY, groups=names)

        assert found.parameters["p"] == 2
        assert found.environment == "production"


def test_contradictions_between_groups_are_all_named() -> None:
    """Environment and parameters: who disagrees on what."""
    with pytest.raises(InvalidClassification) as caught:
        told(FAMILY, groups=("web", "db", "odd"))

    assert caught.value.faults == (
        "the groups 'root', 'odd' disagree on the environment; set it on the node",
        "the groups 'web', 'odd' disagree on the parameter 'p'; set it on the node",
    )


def test_the_node_settles_contradictions() -> None:
    """What the node says itself is not asked of its groups."""
    found = told(FAMILY, groups=("web", "odd"), environment="dev", parameters={"p": 7})

    assert (found.environment, found.parameters) == ("dev", {"p": 7, "q": 3})


@pytest.mark.parametrize(
    ("one", "two"), [("1", "true"), ("1", "1.0"), ("0", "false"), ("1", "'1'")]
)
def test_values_that_python_calls_equal_are_different(one: str, two: str) -> None:
    """Puppet tells 1 from true and from 1.0."""
    text = f"[{{name: a, parameters: {{p: {one}}}}}, {{name: b, parameters: {{p: {two}}}}}]"
    with pytest.raises(InvalidClassification, match="'a', 'b' disagree on the parameter 'p'"):
        told(text, groups=("a", "b"))


def test_an_environment_is_always_named() -> None:
    """Neither node nor group names one: then it is the configured one."""
    assert told("[{name: a}]", groups=("a",)).environment == "fallback"


def test_unknown_groups_are_each_named() -> None:
    """The caller learns all of them, with what was probably meant."""
    with pytest.raises(InvalidClassification) as caught:
        told(FAMILY, groups=("wep", "web", "nobody"))

    assert caught.value.faults == (
        "group 'wep' does not exist; did you mean 'web'?",
        "group 'nobody' does not exist",
    )


def test_many_parents_that_do_not_exist_are_named_at_once() -> None:
    """Only for the first of them names are compared, which takes long; none is told its own."""
    names = [f"- {{name: group{number}, parent: grup{number}}}" for number in range(300)]
    with pytest.raises(GroupsError) as caught:
        groups.parse("\n".join(["groups:", *names]).encode())

    faults = caught.value.faults
    assert len(faults) == 300
    assert sum("did you mean" in fault for fault in faults) == HINTS
    assert not any(f"did you mean 'group{number}'" in faults[number] for number in range(HINTS))
