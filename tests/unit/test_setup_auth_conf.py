"""The edit of auth.conf, its inverse, and who keeps which right."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espm_setup import auth_conf
from espm_setup.auth_conf import CLASSES, CLEAN, STATUS
from espm_setup.auth_rules import deciding, rules
from espm_setup.errors import SetupError
from tests.live import lab_auth

NAME = "espm.puppet.example.com"
CLI = {"extensions": {"pp_cli_auth": "true"}}

RULE = """\
{
    # a rule
    match-request: { path: "/puppet/v3/environments", type = path, method: [get, "head"] }
    allow: ["*"] // everybody
    sort-order: 500
    name: "environments"
}"""
SHAPES = (
    "authorization: {\n    version: 1\n    rules: [@]\n}\n",
    "authorization {\n  rules = [\n@\n  ]\n}",
    "authorization.rules : [ # here\n@]",
    '{"authorization": {"version": 1, "rules": [ @ ]}}',
    'other { rules: ["["] }\n"authorization" {\r\n rules: [\r\n@\r\n ] }\r\n',
    "# authorization: {}\nauthorization: {rules: [// x\n@\n]}\nauthorization.version: 1\n",
)


def shipped(**more: Any) -> str:
    """Return the auth.conf of Puppet Server's package, with a rule of somebody's."""
    text = lab_auth.shipped()
    if not more:
        return text
    rule = lab_auth.rule("foreman", more["path"], "get", more["who"], sort_order=more["order"])
    return lab_auth.with_rules(text, [rule])


def allowed(text: str, method: str, path: str) -> list[Any]:
    """Return whom the deciding rule lets in."""
    found = deciding(rules(text)[1], method, path)
    return list(found.allow) if found else []


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Return the text of an auth.conf as somebody may have written it."""
    some = draw(st.lists(st.sampled_from([RULE, RULE.replace("\n", "\r\n")]), max_size=3))
    separator = draw(st.sampled_from([",\n", "\n", " , "]))
    return draw(st.sampled_from(SHAPES)).replace("@", separator.join(some))


@given(text=texts())
def test_what_is_applied_can_be_removed_byte_for_byte(text: str) -> None:
    """Removing gives back the file as it was, however it was written."""
    assert text == auth_conf.removed(auth_conf.applied(text, NAME, (STATUS, CLASSES)))


@given(text=texts())
def test_applying_twice_changes_nothing_more(text: str) -> None:
    """The second application finds its own rules and leaves them."""
    once = auth_conf.applied(text, NAME, (STATUS, CLASSES))

    assert once == auth_conf.applied(once, NAME, (STATUS, CLASSES))


@given(text=texts())
def test_the_other_rules_stay_as_they_are(text: str) -> None:
    """Ours are two more rules; the others are read as before."""
    after = rules(auth_conf.applied(text, NAME, (STATUS, CLASSES)))[1]

    assert [r.name for r in after[:2]] == ["espm certificate status", "espm environment classes"]
    assert rules(text)[1] == after[2:]


@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_espm_and_the_native_command_may_manage_certificates(method: str) -> None:
    """The rule in front of Puppet's own lets in whom that one lets in."""
    text = auth_conf.applied(shipped(), NAME, (STATUS, CLASSES))

    assert allowed(text, method, "/puppet-ca/v1/certificate_status/a.example.com") == [NAME, CLI]


def test_with_clean_espm_and_the_native_command_may_clean_and_nobody_else() -> None:
    """The third rule stands between the other two, and taking all away leaves what was there."""
    text = auth_conf.applied(shipped(), NAME, (STATUS, CLEAN, CLASSES))
    names = [rule.name for rule in rules(text)[1]][:3]

    assert names == ["espm certificate status", "espm clean", "espm environment classes"]
    assert allowed(text, "put", "/puppet-ca/v1/clean") == [NAME, CLI]
    assert allowed(text, "get", "/puppet-ca/v1/clean") == []
    assert allowed(text, "put", "/puppet-ca/v1/cleaner") == [CLI]
    assert auth_conf.removed(text) == shipped()


def test_a_rule_of_the_name_of_ours_is_given_no_namesake() -> None:
    """Puppet Server ends when two rules share a name."""
    rule = lab_auth.rule("espm clean", "/mine", "get", "x")
    text = auth_conf.applied(lab_auth.with_rules(shipped(), [rule]), NAME, (CLEAN,))

    assert [each.name for each in rules(text)[1]][:2] == ["espm clean 2", "espm clean"]


@pytest.mark.parametrize(
    "path",
    [
        "/puppet-ca/v1/certificate_statuses/any",
        "/puppet-ca/v1/certificate_status/a/b",
        "/puppet-ca/v1/clean",
        "/puppet/v3/catalog/a",
        "/puppet/v3/environments",
    ],
)
def test_every_other_path_is_decided_as_before(path: str) -> None:
    """Our rules match nothing but what they are for."""
    text = auth_conf.applied(shipped(), NAME, (STATUS, CLASSES))

    assert deciding(rules(shipped())[1], "get", path) == deciding(rules(text)[1], "get", path)


def test_a_manager_of_somebody_else_keeps_its_rights() -> None:
    """Who could read the classes before espm came still can."""
    path = "/puppet/v3/environment_classes"
    before = shipped(path=path, who=["foreman.example.com"], order=500)
    text = auth_conf.applied(before, NAME, (CLASSES,))

    assert allowed(text, "get", path) == [NAME, "foreman.example.com"]


def test_no_two_rules_share_a_name() -> None:
    """Puppet Server ends when it meets a name twice, so ours is never one that is there."""
    path = "/puppet/v3/environment_classes"
    before = shipped(path=path, who=["foreman.example.com"], order=500)
    before = before.replace("environments", "espm environment classes")
    names = [rule.name for rule in rules(auth_conf.applied(before, NAME, (STATUS, CLASSES)))[1]]

    assert "espm environment classes 2" in names
    assert len(set(names)) == len(names)


def test_rights_are_carried_on_by_method() -> None:
    """Who may only read certificates does not get the right to sign them."""
    path = "/puppet-ca/v1/certificate_status"
    before = shipped(path=path, who=["watcher.example.com"], order=300)
    text = auth_conf.applied(before, NAME, (STATUS,))

    assert allowed(text, "get", f"{path}/x") == [NAME, CLI, "watcher.example.com"]
    assert allowed(text, "put", f"{path}/x") == [NAME, CLI]


def test_ours_comes_before_the_rule_that_decided() -> None:
    """A rule with a low sort-order gets one in front of it that is lower still."""
    path = "/puppet/v3/environment_classes"
    text = auth_conf.applied(shipped(path=path, who="x", order=7), NAME, (CLASSES,))

    assert allowed(text, "get", path) == [NAME, "x"]
    assert rules(text)[1][0].order == 6


def test_where_everybody_may_no_rule_is_added() -> None:
    """A file that allows it already is not touched."""
    before = shipped(path="/puppet/v3/environment_classes", who="*", order=500)

    assert before == auth_conf.applied(before, NAME, (CLASSES,))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no single section"),
        ("authorization: { rules: 5 }", "no list"),
        ('include "other"\nauthorization: { rules: [] }', "not understood"),
        ("authorization: { rules: ${x} }", "not understood"),
        ("authorization: { rules: [] [] }", "concatenated"),
        ("authorization: { rules: [], rules: [] }", "no single section"),
        ("authorization: { rules: [ { a: 1 } ] }", "match-request"),
        ("authorization: { rules: [", "no ']'"),
        ("authorization: { rules: [] } }", "not understood"),
        ("authorization: { rules += [] }", "without a value"),
    ],
)
def test_what_is_not_understood_is_not_edited(text: str, what: str) -> None:
    """A file beyond our reading is refused, saying where it stopped."""
    with pytest.raises(SetupError, match=what.replace("]", r"\]")):
        auth_conf.applied(text, NAME, (STATUS,))


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        ({"allow": "$1", "path": "^(/puppet/v3/environment_classes)"}, "captured"),
        ({"allow": "x", "sort-order": 1}, "lowest sort-order"),
        ({"allow": "x", "deny": "y"}, "both allow and deny"),
        ({"allow": "x", "query-params": {"environment": ["a"]}}, "query-params"),
        ({"allow": "x", "path": "\\p{Alnum}"}, "regular expression"),
        ({"allow": "x", "sort-order": "many"}, "sort-order"),
    ],
)
def test_rules_that_cannot_be_carried_on_are_left_to_people(
    rule: dict[str, Any], what: str
) -> None:
    """Where a rule of ours would take somebody's right away, a human decides."""
    item: dict[str, Any] = {
        "match-request": {"path": rule.get("path", "^/puppet/v3"), "type": "regex"},
        "sort-order": 100,
        "name": "odd",
    }
    item["match-request"] |= {k: v for k, v in rule.items() if k == "query-params"}
    item |= {k: v for k, v in rule.items() if k not in ("query-params", "path")}
    text = json.dumps({"authorization": {"rules": [item]}})

    with pytest.raises(SetupError, match=what):
        auth_conf.applied(text, NAME, (CLASSES,))


PREFIX = "/puppet-ca/v1/certificate_status/"


def with_rule(path: str, order: int, *, methods: str = "get put delete", who: Any = "web") -> str:
    """Return the auth.conf of Puppet Server's package, with a rule of the administrator's."""
    rule = lab_auth.rule("webadmin", path, methods, who, sort_order=order)
    rule["match-request"]["type"] = "path" if path.startswith("/") else "regex"
    return lab_auth.with_rules(lab_auth.shipped(), [rule])


@pytest.mark.parametrize("order", [5, 399, 450])
@pytest.mark.parametrize("who", ["webadmin.example.com", lab_auth.NOBODY])
@pytest.mark.parametrize(
    "path",
    [
        *(f"{PREFIX}web-", f"{PREFIX}e", f"^{PREFIX}web-", rf"^{PREFIX}[^/]+\.dmz\.example\.com$"),
        *(f"^{PREFIX}(?!web-)", f"^{PREFIX}[^w]", "^/puppet-ca/v1/certificate_[a-z]+/web-"),
        *("certificate_status/(?:web|db)-", "^/puppet-ca/v1/c.*/prod-", "web-[0-9]+", "(?i)web"),
        *("^/puppet-ca/v1/certificate_statuse?s?/web-", f"^/x|^{PREFIX}web", f"^{PREFIX}e.*"),
        *(f"^{PREFIX}[a-z]+$", f"^{PREFIX}[a-e]", r"^/puppet\-ca/v1/certificate\_status/web"),
    ],
)
def test_a_rule_for_some_certificates_only_is_left_to_people(
    path: str, who: str, order: int
) -> None:
    """Ours would take its rights away, or open what it closes, or not let espm in."""
    with pytest.raises(SetupError, match=r"the rule 'webadmin' .* merge them by hand"):
        auth_conf.applied(with_rule(path, order, who=who), NAME, (STATUS,))


@pytest.mark.parametrize(
    "path",
    [
        *("/puppet-ca/v1/certificate_statuses", "^/puppet-ca/v1/certificate_statuses/any$"),
        *("/puppet-ca/v1/certificate_request/web-", "^/puppet-ca/v1/certificate/[^/]+$"),
        *("^/puppet/v3/catalog/web-", "/puppet/v3/node/web-", r"^/puppet\-ca/v1/clean$"),
        *(f"^{PREFIX}", f"^{PREFIX}([^/]+)$", f"{PREFIX}", f"^{PREFIX}[a-z0-9._-]+$", "^/.*"),
        *("^/puppet-ca/v1/(certificate_status|certificate_request)/", "puppet/v3/catalog/.*"),
    ],
)
def test_a_rule_for_all_certificates_or_none_is_carried_on(path: str) -> None:
    """Its rights stay, and espm gets its own."""
    text = auth_conf.applied(with_rule(path, 450), NAME, (STATUS,))

    assert NAME in allowed(text, "delete", f"{PREFIX}web-1.example.com")


def test_a_rule_that_never_decided_does_not_matter() -> None:
    """Behind the rule for all certificates, or for another method, it had no effect before."""
    behind = with_rule(f"{PREFIX}web-", 600)
    other = with_rule(f"{PREFIX}web-", 450, methods="head")

    assert NAME in allowed(auth_conf.applied(behind, NAME, (STATUS,)), "get", f"{PREFIX}web-1")
    assert NAME in allowed(auth_conf.applied(other, NAME, (STATUS,)), "get", f"{PREFIX}web-1")


def test_a_narrow_rule_that_lets_espm_in_is_not_taken_for_all() -> None:
    """That espm may manage some certificates is not enough."""
    text = with_rule(f"^{PREFIX}[^w]", 450, who=[NAME])

    with pytest.raises(SetupError, match="the rule 'webadmin'"):
        auth_conf.applied(text, NAME, (STATUS,))


def test_rules_that_people_merged_are_not_touched() -> None:
    """Where the rule for all certificates lets espm in, the narrower ones are as people want."""
    rule = lab_auth.rule("all", PREFIX, "get put delete", [NAME, "x"], sort_order=480)
    text = lab_auth.with_rules(with_rule(f"{PREFIX}web-", 450), [rule])

    assert text == auth_conf.applied(text, NAME, (STATUS,))


def test_the_printed_rule_can_be_added_behind_a_narrower_one() -> None:
    """What espm_setup prints is what people need to merge, and it is found again."""
    printed = "\n".join(auth_conf.lines(NAME, (STATUS,)))
    text = with_rule(f"{PREFIX}web-", 300).replace("rules: [", f"rules: [\n{printed}\n", 1)

    assert text == auth_conf.applied(text, NAME, (STATUS,))
