"""Rules of auth.conf that are about some of the paths of ours, and not about all of them.

Ours matches the status of every certificate.  A rule that matches ``web-...`` only would lose what
it gives when ours comes before it, and keep espm out when ours comes behind it.  So it is found
here, and people decide.  Whether a rule matches every path is tried with names that have each
character of a certname; whether it can match any, by the characters that it begins with.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from espm_setup.auth_rules import Rule

_NAMES = (
    *(string.ascii_lowercase + string.digits),
    *(f"{letter}{letter}-9._{letter}.example.com" for letter in string.ascii_lowercase),
    "a" * 200,
)
_LOOKS_AROUND = re.compile(r"\(\?<?[=!]|\\[1-9bB]")
_CLASS = re.compile(r"\[\^?\]?[^\]]*\]")
_GROUP = re.compile(r"\([^()]*\)")
# A character that may be missing is not one that the pattern begins with.
_LITERAL = re.compile(r"(?:[\w/ \-:,;=@%&~#<>!\"'](?![?*{])|\\[^\w\s](?![?*{]))*", re.ASCII)


def is_narrow(rule: Rule, prefix: str) -> bool:
    """Return whether *rule* may match some of the paths *prefix* + certname, and not all.

    :param prefix: ends with a slash.
    """
    if rule.kind == "path":
        return rule.path != prefix and rule.path.startswith(prefix)
    return _may_match(rule.path, prefix) and not _matches_all(rule.path, prefix)


def _matches_all(pattern: str, prefix: str) -> bool:
    try:
        return not _LOOKS_AROUND.search(pattern) and all(
            re.search(pattern, prefix + name) for name in _NAMES
        )
    except re.error:
        return False


def _may_match(pattern: str, prefix: str) -> bool:
    """Return False when no path of ours has the characters that *pattern* begins with."""
    anchored = pattern.startswith("^")
    beginning = "" if _has_alternatives(pattern) else _beginning(pattern.removeprefix("^"))
    path, slash, _ = beginning.rpartition("/")
    if anchored:
        return prefix.startswith(beginning) or prefix == path + slash
    return beginning in prefix or prefix.endswith(path + slash)


def _beginning(pattern: str) -> str:
    match = _LITERAL.match(pattern)
    return match[0].replace("\\", "") if match else ""


def _has_alternatives(pattern: str) -> bool:
    """Return whether there is a ``|`` outside all groups."""
    bare = _CLASS.sub("", re.sub(r"\\.", "", pattern))
    while bare != (inner := _GROUP.sub("", bare)):
        bare = inner
    return "|" in bare
