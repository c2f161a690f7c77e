"""The text of a fresh ``espm.ini``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from espm_setup.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PLAIN = re.compile(r"[A-Za-z0-9/][A-Za-z0-9_./:@+-]*", re.ASCII)

#: Stands for a value that only the administrator knows.
FILL_IN = "# fill in: "

_HEAD = """\
# The configuration of espm, written by espm_setup. Every key, with those that are not here, is
# explained in docs/configuration.md; "espm check -c FILE" says whether all is well.
"""


def render(sections: Mapping[str, Mapping[str, object]]) -> str:
    """Return the file's text.

    :param sections: by name (``[name]`` for a section inside the one before), the keys with their
        values: text, a number, a list of texts, or None for one to fill in.
    :raises espm_setup.errors.SetupError: a value that an ini file cannot hold.
    """
    parts = [_HEAD]
    for name, keys in sections.items():
        parts.append("\n".join([f"\n[{name}]", *lines(keys), ""]))
    return "".join(parts)


def lines(keys: Mapping[str, object]) -> list[str]:
    """Return a line for each of *keys*, with values as :func:`render` takes them.

    :raises espm_setup.errors.SetupError: a value that an ini file cannot hold.
    """
    return [_line(key, value) for key, value in keys.items()]


def quoted(value: str) -> str:
    """Return *value* as ConfigObj reads it back, whatever commas and signs are in it.

    :raises espm_setup.errors.SetupError: it has line breaks, or both kinds of quotes.
    """
    if _PLAIN.fullmatch(value):
        return value
    mark = "'" if '"' in value else '"'
    # str.splitlines() knows more line breaks than people do, and ConfigObj uses it.
    broken = len(f"{value}.".splitlines()) > 1
    if mark in value or broken or any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
        msg = f"{value!a} cannot be written into an ini file; choose another name"
        raise SetupError(msg)
    return f"{mark}{value}{mark}"


def _line(key: str, value: object) -> str:
    if value is None:
        return f"{FILL_IN}{key} ="
    if isinstance(value, (list, tuple)):
        return f"{key} = {_listed(value)}"
    return f"{key} = {quoted(str(value))}"


def _listed(values: Iterable[object]) -> str:
    # A comma at the end makes a list of one value, and of none.
    return "".join(f"{quoted(str(value))}, " for value in values).rstrip() or ","
