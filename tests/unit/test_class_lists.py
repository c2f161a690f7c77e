"""The list of classes as it goes out: made once for whoever may see the same."""

from __future__ import annotations

import json
from dataclasses import replace

from espm.api.class_lists import KEPT, ClassList, ClassLists
from tests.fake_catalogue import FakeCatalogue

ALL = ("*",)


def _names(found: ClassList) -> list[str]:
    return [each["name"] for each in json.loads(found.body)["classes"]]


def test_a_list_is_made_once() -> None:
    """The same bytes are given to whoever may see the same classes of the same environment."""
    lists, puppet = ClassLists(), FakeCatalogue()
    first = lists.of(puppet.classes("production"), ALL)

    assert lists.of(puppet.classes("production"), ALL) is first


def test_a_list_is_made_anew_for_others() -> None:
    """Other limits, another environment and other code each have a list of their own."""
    lists, puppet = ClassLists(), FakeCatalogue(deployed={"new": FakeCatalogue().known["ntp"]})
    found = puppet.classes("production")

    assert _names(lists.of(found, ALL)) == ["ntp", "profile::web"]
    assert _names(lists.of(found, ("profile::*",))) == ["profile::web"]
    assert _names(lists.of(puppet.classes("production", max_age=0), ALL))[0] == "new"
    staging = lists.of(puppet.classes("staging"), ALL)
    assert json.loads(staging.body)["environment"] == "staging"


def test_lists_that_nobody_asks_for_are_forgotten() -> None:
    """As many are kept as were asked for last, and what is asked for stays."""
    lists, found = ClassLists(), FakeCatalogue().classes("production")
    first = lists.of(found, ALL)
    second = lists.of(replace(found, etag="0"), ALL)
    for number in range(1, KEPT):
        lists.of(replace(found, etag=str(number)), ALL)
        lists.of(found, ALL)

    assert lists.of(found, ALL) is first
    assert lists.of(replace(found, etag="0"), ALL) is not second
