"""The edit of auth.conf: what espm's certificate may do at Puppet Server, and nobody loses.

The rule for certificates matches single ones only: ``^/puppet-ca/v1/certificate_status/[^/]+$``.
As ``path`` is a prefix, a careless rule would answer for ``certificate_statuses`` too and lock out
``puppetserver ca list``.  Where a request was decided by another rule so far, ours goes in front
of it and allows what that one allowed: the clients with ``pp_cli_auth`` (``puppetserver ca``), an
external node manager, and so on.

A rule of the administrator that is about some certificates only (``.../certificate_status/web-``)
cannot be carried on so: in front of it ours would take its rights away or open what it closes, and
behind it espm would be kept out.  Then the file is refused, and people put espm's certname into the
rules.  Where the rule that decides has it already, nothing of ours is needed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain, count, groupby
from typing import TYPE_CHECKING

from espm_setup import marks
from espm_setup.auth_narrow import is_narrow
from espm_setup.auth_rules import ANYBODY, Rule, deciding, rules
from espm_setup.errors import SetupError
from espm_setup.hocon import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

_INDENT = " " * 8

# Puppet's own rules have 400 to 600 (documentation of Puppet Server, "auth.conf", sort-order).
_ORDER = 399

_CLI = {"extensions": {"pp_cli_auth": "true"}}


@dataclass(frozen=True, slots=True)
class Right:
    """Something that espm must be allowed.

    :ivar probe: a path that stands for all that *path* matches.
    :ivar prefix: how they all begin, if there is more than that one.
    :ivar always: who is allowed beside espm whatever was there before.
    """

    name: str
    path: str
    kind: str
    methods: tuple[str, ...]
    probe: str
    always: tuple[object, ...] = ()
    prefix: str = ""


STATUS = Right(
    "espm certificate status",
    "^/puppet-ca/v1/certificate_status/[^/]+$",
    "regex",
    ("get", "put", "delete"),
    "/puppet-ca/v1/certificate_status/espm.probe.invalid",
    (_CLI,),
    "/puppet-ca/v1/certificate_status/",
)
CLEAN = Right(
    "espm clean",
    "^/puppet-ca/v1/clean$",
    "regex",
    ("put",),
    "/puppet-ca/v1/clean",
    (_CLI,),
)
CLASSES = Right(
    "espm environment classes",
    "^/puppet/v3/environment_classes$",
    "regex",
    ("get",),
    "/puppet/v3/environment_classes",
)


def applied(text: str, certname: str, rights: tuple[Right, ...]) -> str:
    """Return auth.conf with *rights* for *certname*; as it is when they are there already.

    :raises espm_setup.errors.SetupError: the file is beyond us and wants a human hand.
    """
    plain = removed(text)
    try:
        place, found = rules(plain)
        lines = [line for right in rights for line in _block(right, certname, found)]
    except Unreadable as exc:
        msg = f"it has something that cannot be edited safely: {exc}"
        raise SetupError(msg) from exc
    return marks.insert(plain, place, lines, _INDENT) if lines else plain


def removed(text: str) -> str:
    """Return auth.conf without our rules."""
    return marks.remove(text)


def lines(certname: str, rights: tuple[Right, ...]) -> list[str]:
    """Return the rules to put into an auth.conf as Puppet ships it, by hand."""
    return [line for right in rights for line in _block(right, certname, [])]


def _block(right: Right, certname: str, found: list[Rule]) -> list[str]:
    """Return the rules that *right* takes: one for each set of people that shared it before."""
    result: list[str] = []
    names = _free_names(right.name, {rule.name for rule in found})
    shares = [(_share(right, certname, found, method), method) for method in right.methods]
    kept = [share for share in shares if share[0] is not None]
    for share, methods in groupby(kept, key=lambda item: item[0]):
        order, allow = share or (0, "")
        result += _rule(right, next(names), [method for _, method in methods], order, allow)
    return result


def _free_names(name: str, taken: set[str]) -> Iterator[str]:
    """Yield names for rules that no other has: Puppet Server ends when two share one."""
    numbered = (f"{name} {number}" for number in count(2))
    return (each for each in chain([name], numbered) if each not in taken)


def _share(right: Right, certname: str, found: list[Rule], method: str) -> tuple[int, str] | None:
    """Return sort-order and ``allow`` of our rule for *method*; None when espm may already."""
    narrow = [rule for rule in found if right.prefix and is_narrow(rule, right.prefix)]
    before = deciding([rule for rule in found if rule not in narrow], method, right.probe)
    if before and certname in before.allow:
        return None
    _refuse(right, certname, [rule for rule in narrow if _is_first(rule, before, method)])
    if before is None:
        return _ORDER, json.dumps([certname, *right.always])
    if ANYBODY in before.allow:
        return None
    if any(isinstance(who, str) and "$" in who for who in before.allow):
        msg = f"the rule '{before.name}' allows what its path captured"
        raise Unreadable(msg)
    if before.order < 2:
        msg = f"the rule '{before.name}' has the lowest sort-order"
        raise Unreadable(msg)
    people = [certname, *right.always]
    people += [who for who in before.allow if who not in people]
    return min(_ORDER, before.order - 1), json.dumps(people)


def _is_first(rule: Rule, whole: Rule | None, method: str) -> bool:
    """Return whether *rule* decides something of *method*, in front of *whole*."""
    first = whole is None or (rule.order, rule.name) < (whole.order, whole.name)
    return first and (not rule.methods or method in rule.methods)


def _refuse(right: Right, certname: str, narrow: list[Rule]) -> None:
    """Return when there are no *narrow* rules, which only people can merge with ours.

    :raises espm_setup.errors.SetupError: there are; says what to do.
    """
    if narrow:
        msg = (
            f"the rule '{narrow[0].name}' is about some of the paths of '{right.name}' only, and "
            f"ours would change what it says: merge them by hand, with '{certname}' in the "
            "`allow` of the rule for all paths (espm_setup prints it), and repeat"
        )
        raise SetupError(msg)


def _rule(right: Right, name: str, methods: list[str], order: int, allow: str) -> list[str]:
    return [
        "{",
        "    match-request: {",
        f"        path: {json.dumps(right.path)}",
        f"        type: {right.kind}",
        f"        method: [{', '.join(methods)}]",
        "    }",
        f"    allow: {allow}",
        f"    sort-order: {order}",
        f"    name: {json.dumps(name)}",
        "}",
    ]
