"""The command line of ``puppet``, as OptionParser takes it apart: options may follow names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.legacy.puppet_versions import BadOption

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.legacy.puppet_versions import Traits

ACTIONS = ("list", "generate", "sign", "revoke", "clean", "verify", "print", "fingerprint")
_VALUED = {
    *("confdir", "ssldir", "vardir", "certname", "color", "keylength", "dns_alt_names"),
    *("digest", "ca_ttl", "configprint", "section"),
}
_FLAGS = {"all", "signed", "allow-dns-alt-names", "verbose", "debug", "trace", "no-daemonize"}
#: Only 5.5 knows these (reference facts 1.1).
_NEWEST_FLAGS = {
    *("machine-readable", "human-readable", "assume-yes", "interactive"),
    "allow-authorization-extensions",
}
_SHORT = {"-a": "all", "-v": "verbose", "-d": "debug", "-c": "clean", "-l": "list"}
_SHORT |= {"-g": "generate", "-p": "print", "-r": "revoke", "-f": "fingerprint"}
_NEWEST_SHORT = {"-y": "assume-yes", "-i": "interactive", "-m": "machine-readable"}


@dataclass(slots=True)
class Options:
    """A command line in parts.

    :ivar words: what is no option, in order.
    :ivar values: options with a value, by their name without dashes.
    :ivar flags: options without.
    :ivar action: the action, when it was given as an option (``--list``).
    """

    words: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    action: str = ""


def parse(arguments: Sequence[str], traits: Traits) -> Options:
    """Return the command line in parts.

    :raises BadOption: an option is not known, lacks its value or has one too many.
    """
    options = Options()
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            options.words += rest
        elif argument.startswith("-") and argument != "-":
            _option(argument, rest, options, traits)
        else:
            options.words.append(argument)
    return options


def _option(argument: str, rest: Iterator[str], options: Options, traits: Traits) -> None:
    written, equals, value = argument.partition("=")
    name = _name(written, traits)
    if name in _VALUED:
        options.values[name] = value if equals else _next(argument, rest)
    elif equals:
        msg = f"needless argument: {argument}"
        raise BadOption(msg)
    elif name in ACTIONS:
        options.action = name
    else:
        options.flags.add(name)


def _name(written: str, traits: Traits) -> str:
    flags = _FLAGS | (_NEWEST_FLAGS if traits.newest else set())
    short = _SHORT | (_NEWEST_SHORT if traits.newest else {})
    name = short.get(written) or written.removeprefix("--")
    if name == "allow_dns_alt_names":
        return "allow-dns-alt-names"
    if name in _VALUED | flags | set(ACTIONS) and name != written:
        return name
    msg = f"invalid option: {written}"
    raise BadOption(msg)


def _next(argument: str, rest: Iterator[str]) -> str:
    for value in rest:
        return value
    msg = f"missing argument: {argument}"
    raise BadOption(msg)
