"""Just enough of HOCON to understand Puppet Server's auth.conf, with places in the text.

The grammar is that of the HOCON specification (lightbend/config, HOCON.md): JSON with comments,
bare words, ``=`` or nothing for ``:``, line breaks for commas and dotted keys.  What this reader
does not understand (includes, substitutions, ``+=``, concatenated lists and objects), it refuses:
a file that is not understood is not edited.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import NoReturn

_BLANK = re.compile(r"(?:[ \t\r\f\v\xa0\ufeff]|(?:#|//)[^\n]*)+")
_GAP = re.compile(r"(?:[\s,\xa0\ufeff]|(?:#|//)[^\n]*)+")
_QUOTED = re.compile(r'"""(.*?)"""+|"((?:[^"\\\n]|\\.)*)"', re.DOTALL)
_BARE = re.compile(r"(?:(?!//)[^\s\"$\{\}\[\]:=,+#`^?!@*&\\])+")
_SPACES = re.compile(r"[ \t]+")
_SEPARATOR = re.compile(r"\s*[:=](?!=)")


class Unreadable(Exception):
    """The text is not in the part of HOCON that we read; says what and in which line."""


@dataclass(slots=True)
class Array:
    """A list; *inside* is the offset just behind its opening bracket."""

    inside: int
    items: list[Value] = field(default_factory=list)


@dataclass(slots=True)
class Object:
    """An object, dotted keys resolved; *repeated* says whether a key was given twice."""

    members: dict[str, Value] = field(default_factory=dict)
    repeated: bool = False


Value = Object | Array | str


def read(text: str) -> Object:
    """Return the root object of *text*.

    :raises espm_setup.hocon.Unreadable: for what is beyond us.
    """
    reader = _Reader(text)
    reader.skip(_GAP)
    braced = reader.take("{")
    root = reader.members("}" if braced else "")
    reader.skip(_GAP)
    if reader.at < len(text):
        reader.fail("something behind the end")
    return root


class _Reader:
    """A cursor over the text; each method reads one thing and moves on."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return match[0] if match else ""

    def take(self, what: str) -> bool:
        found = self.text.startswith(what, self.at)
        self.at += len(what) if found else 0
        return found

    def fail(self, what: str) -> NoReturn:
        line = self.text.count("\n", 0, self.at) + 1
        msg = f"{what} in line {line}"
        raise Unreadable(msg)

    def members(self, end: str) -> Object:
        result = Object()
        while not self._ends(end):
            keys = self._key()
            self.skip(_BLANK)
            if self.text[self.at : self.at + 1] != "{" and not self.skip(_SEPARATOR):
                self.fail("a key without a value")
            self._put(result, keys, self.value())
        return result

    def value(self) -> Value:
        self.skip(_GAP)
        if self.take("{"):
            return self._alone(self.members("}"))
        if self.take("["):
            return self._alone(self._array())
        return self._scalar()

    def _array(self) -> Array:
        result = Array(self.at)
        while not self._ends("]"):
            result.items.append(self.value())
        return result

    def _ends(self, end: str) -> bool:
        """Skip to the next element; return whether there is none, having taken *end*."""
        self.skip(_GAP)
        if self.at >= len(self.text):
            if end:
                self.fail(f"no '{end}' until the end of the file, looked for")
            return True
        return bool(end) and self.take(end)

    def _alone(self, value: Value) -> Value:
        """Return a list or object, having made sure that nothing is concatenated to it."""
        self.skip(_BLANK)
        if self.text[self.at : self.at + 1] not in ("", "\n", ",", "}", "]"):
            self.fail("a concatenated value")
        return value

    def _scalar(self) -> str:
        text = self._word()
        while True:
            gap = self.skip(_SPACES)
            rest = self.text[self.at : self.at + 2]
            if rest[:1] in ("", "\n", "\r", ",", "]", "}", "#") or rest == "//":
                return text
            text += gap + self._word()

    def _word(self) -> str:
        if quoted := _QUOTED.match(self.text, self.at):
            return self._quoted(quoted)
        if word := self.skip(_BARE):
            return word
        return self.fail("a value that is not understood")

    def _quoted(self, match: re.Match[str]) -> str:
        self.at = match.end()
        if match[1] is not None:
            return match[1]
        try:
            return str(json.loads(f'"{match[2]}"', strict=False))
        except ValueError:
            self.fail("an escape that is not understood")

    def _key(self) -> list[str]:
        keys = []
        while True:
            if quoted := _QUOTED.match(self.text, self.at):
                keys.append(self._quoted(quoted))
            else:
                keys += [part for part in self.skip(_BARE).split(".") if part]
            if not self.take("."):
                break
        if not keys or keys == ["include"]:
            self.fail("a key that is not understood")
        return keys

    def _put(self, target: Object, keys: list[str], value: Value) -> None:
        """Set a member under a dotted key; objects merge, everything else replaces."""
        for key in keys[:-1]:
            inner = target.members.setdefault(key, Object())
            if not isinstance(inner, Object):
                self.fail(f"'{key}' given twice")
            target = inner
        old = target.members.get(keys[-1])
        if isinstance(old, Object) and isinstance(value, Object):
            old.repeated |= value.repeated
            for key, item in value.members.items():
                self._put(old, [key], item)
        else:
            target.repeated |= old is not None
            target.members[keys[-1]] = value
