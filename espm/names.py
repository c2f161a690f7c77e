"""The names Puppet gives to things, and which of them can't be used in a classification.

The API's bodies, the groups file and the class catalogue all ask here, so that a name that one
of them takes is not refused by the next.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: A class as Puppet's code names it, without a leading ``::``.
CLASS_NAME = re.compile(r"[a-z][a-z0-9_]*(?:::[a-z][a-z0-9_]*)*", re.ASCII)

#: A top-scope variable or a class parameter.
PARAMETER_NAME = re.compile(r"[a-z][A-Za-z0-9_]*", re.ASCII)

#: An environment; it becomes the name of a directory on the Puppet server.
ENVIRONMENT_NAME = re.compile(r"[a-z0-9_]+", re.ASCII)

#: Longer names are nobody's, and YAML parsers stop at keys of 1024 characters.
NAME_LENGTH = 255

#: How many unknown names get a guess at what was meant.
HINTS = 5

#: Top-scope variables that belong to Puppet.  The compiler fails on ``trusted``, ``facts`` and
#: ``server_facts`` (setvar in puppet/parser/scope.rb), drops ``environment``
#: (set_node_parameters in puppet/parser/compiler.rb), sets the ``server...`` ones itself and
#: takes the ``client...`` ones for the agent's own word (puppet/configurer/fact_handler.rb,
#: "Facts and built-in variables" of Puppet's documentation).  The others have a meaning of
#: their own inside code ("Reserved words and acceptable names").
RESERVED_PARAMETERS = frozenset(
    {
        "agent_specified_environment",
        "caller_module_name",
        "clientcert",
        "clientnoop",
        "clientversion",
        "environment",
        "facts",
        "module_name",
        "name",
        "server_facts",
        "serverip",
        "serverip6",
        "servername",
        "serverversion",
        "settings",
        "title",
        "trusted",
    }
)

#: Classes that Puppet makes itself ("Reserved words and acceptable names").
RESERVED_CLASSES = frozenset({"main", "settings"})

#: Parameters that every class takes without declaring them ("Metaparameter reference").
METAPARAMETERS = frozenset(
    {
        "alias",
        "audit",
        "before",
        "loglevel",
        "noop",
        "notify",
        "require",
        "schedule",
        "stage",
        "subscribe",
        "tag",
    }
)


def class_fault(name: object) -> str | None:
    """Return what is wrong with *name* as a class's name, or None."""
    if not _fits(CLASS_NAME, name):
        return (
            f"class {shown(name)}: not a class name (segments of a-z, 0-9 and '_', each starting "
            "with a letter, joined by '::')"
        )
    if name in RESERVED_CLASSES:
        return f"class '{name}': reserved by Puppet"
    return None


def class_parameter_fault(name: object) -> str | None:
    """Return what is wrong with *name* as a class parameter's name, or None."""
    if not _fits(PARAMETER_NAME, name):
        return f"parameter {shown(name)}: {_PARAMETER_RULE}"
    return None


def parameter_fault(name: object) -> str | None:
    """Return what is wrong with *name* as a top-scope parameter's name, or None."""
    if not _fits(PARAMETER_NAME, name):
        return f"parameter {shown(name)}: {_PARAMETER_RULE}"
    if name in RESERVED_PARAMETERS:
        return f"parameter '{name}': reserved by Puppet"
    return None


def environment_fault(name: object) -> str | None:
    """Return what is wrong with *name* as an environment's name, or None."""
    if not _fits(ENVIRONMENT_NAME, name):
        return f"environment {shown(name)}: not an environment name (only a-z, 0-9 and '_')"
    return None


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'NAME'?"`` when one of *known* is close to *name*, else ``""``."""
    close = get_close_matches(str(name)[:NAME_LENGTH], list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def hints(unknown: Sequence[str], known: Iterable[str]) -> list[str]:
    """Return :func:`did_you_mean` for each of *unknown*, as long as they are few.

    Comparing takes tenths of a millisecond for each pair, and whoever has many names wrong is
    not helped by guesses.
    """
    if not unknown:
        return []
    names = list(known)
    return [
        did_you_mean(name, names) if number < HINTS else "" for number, name in enumerate(unknown)
    ]


def shown(name: object) -> str:
    """Return *name* quoted for a message: printable, and not at full length if it is long."""
    text = ascii(name)
    return text if len(text) <= 80 else f"{text[:77]}..."


_PARAMETER_RULE = "not a parameter name (a lower-case letter, then letters, digits and '_')"


def _fits(pattern: re.Pattern[str], name: object) -> bool:
    return isinstance(name, str) and len(name) <= NAME_LENGTH and bool(pattern.fullmatch(name))
