"""Puppet Server's authorization rules: which one decides a request, and whom it lets in.

Rules are tried by sort-order, then name, and the first whose path, type and method match decides
(README of trapperkeeper-authorization, "Configuration").  A rule of ours in front of another one
must therefore carry on what that one allows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from espm_setup.hocon import Array, Object, Unreadable, Value, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from espm.model import Json

#: The whole world, so that no rule of ours is needed.
ANYBODY = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of auth.conf.

    :ivar methods: lower case; empty for every method.
    :ivar allow: certnames and ``{"extensions": ...}`` objects; ``ANYBODY`` for every client.
    """

    path: str
    kind: str
    order: int
    name: str
    methods: tuple[str, ...] = ()
    allow: tuple[Json, ...] = ()
    partial: bool = field(default=False)

    def matches(self, method: str, path: str) -> bool:
        """Return whether the rule decides a request of *method* for *path*.

        :raises espm_setup.hocon.Unreadable: that depends on more than method and path.
        """
        if self.methods and method not in self.methods:
            return False
        found = path.startswith(self.path) if self.kind == "path" else _search(self.path, path)
        if found and self.partial:
            msg = f"the rule '{self.name}' has query-params or both allow and deny"
            raise Unreadable(msg)
        return found


def rules(text: str) -> tuple[int, list[Rule]]:
    """Return where the list of rules begins in auth.conf, and the rules.

    :raises espm_setup.hocon.Unreadable: the file is beyond us.
    """
    authorization = read(text).members.get("authorization")
    if not isinstance(authorization, Object) or authorization.repeated:
        msg = "no single section 'authorization'"
        raise Unreadable(msg)
    found = authorization.members.get("rules")
    if not isinstance(found, Array):
        msg = "no list 'authorization.rules'"
        raise Unreadable(msg)
    return found.inside, [_rule(item) for item in found.items]


def deciding(found: Sequence[Rule], method: str, path: str) -> Rule | None:
    """Return the rule that decides a request, if any does."""
    matching = [rule for rule in found if rule.matches(method, path)]
    return min(matching, key=lambda rule: (rule.order, rule.name), default=None)


def _rule(item: Value) -> Rule:
    match = item.members.get("match-request") if isinstance(item, Object) else None
    if not isinstance(item, Object) or not isinstance(match, Object):
        msg = "a rule without a match-request"
        raise Unreadable(msg)
    plain = _plain(item)
    allow = _listed(plain.get("allow", []))
    open_to_all = plain.get("allow-unauthenticated") == "true" or ANYBODY in allow
    return Rule(
        path=plain["match-request"].get("path", ""),
        kind=plain["match-request"].get("type", "path"),
        order=_number(plain.get("sort-order", "500")),
        name=plain.get("name", ""),
        methods=tuple(map(str.lower, _listed(plain["match-request"].get("method", [])))),
        allow=(ANYBODY,) if open_to_all else tuple(allow),
        partial="query-params" in match.members or ("deny" in plain and "allow" in plain),
    )


def _plain(value: Value) -> Json:
    if isinstance(value, Object):
        return {key: _plain(item) for key, item in value.members.items()}
    if isinstance(value, Array):
        return [_plain(item) for item in value.items]
    return value


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def _number(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        msg = f"the sort-order '{text}'"
        raise Unreadable(msg)
    return int(text)


def _search(pattern: str, path: str) -> bool:
    try:
        return re.search(pattern, path) is not None
    except re.error as exc:
        msg = f"the regular expression '{pattern}'"
        raise Unreadable(msg) from exc
