"""Edits of ``espm.ini``: bytes in, bytes out, and all stay but those of the lines in question.

The file is the administrator's, with comments and a layout of their own, so lines are exchanged
and put in.  Then what espm would read is compared with what it is meant to read: whatever the lines
look like, an edit does what it says and nothing else, or it is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from espm.config import platforms_in
from espm.config.file import Faults, lines_of, parse
from espm.errors import ConfigError
from espm_setup import template
from espm_setup.errors import InTheWay, SetupError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from espm.config.file import Place
    from espm.model import Platform

#: Key, value and comment; neither digests nor times have a "#" in them.
_LINE = re.compile(r"([^=]*=[ \t]*)[^#]*?([ \t]*(?:#.*)?\r?)", re.DOTALL)


def rotated(content: bytes, path: Path, name: str, new: str, until: str | None) -> bytes:
    """Return the file's content with another key for the platform *name*.

    :param new: the digest of the new key; the newest of those that there were stays, behind it.
    :param until: when that one ends, as the file has it; None leaves it out at once.
    :raises espm_setup.errors.SetupError: there is no such platform, or the file is wrong.
    """
    known = {each.name: each for each in _platforms(content, path, "is wrong")}
    if name not in known:
        msg = f"{path} has no platform {name}; it has: {', '.join(known)}"
        raise SetupError(msg)
    digests = [new, _newest(known[name], path)] if until else [new]
    file = _File(content, path)
    file.exchange(name, digests, until)
    return _proved(file, path)


def added(content: bytes, path: Path, name: str, keys: Mapping[str, Sequence[str]]) -> bytes:
    """Return the file's content with a further platform.

    :param keys: what its section says.
    :raises espm_setup.errors.InTheWay: there is one of that name.
    :raises espm_setup.errors.SetupError: the file is wrong, or would be.
    """
    file = _File(content, path)
    if ("platforms", name) in file.places:
        msg = (
            f"{path} has a platform {name} already, so nothing was changed; "
            f"a new key for it: espm_setup --rotate-psk {name}"
        )
        raise InTheWay(msg)
    if ("platforms",) not in file.places:
        msg = f"{path} has no section [platforms]; put it in"
        raise SetupError(msg)
    file.append(name, keys)
    return _proved(file, path)


def _newest(platform: Platform, path: Path) -> str:
    """Return the digest of the newest key that *platform* has.

    :raises espm_setup.errors.SetupError: that cannot be told.
    """
    if len(platform.psk_sha256) > 1 and platform.old_psk_until is None:
        msg = (
            f"[[{platform.name}]] in {path} has two keys and no old_psk_until, so nobody can tell "
            "which is the old one: take that out first, or replace both with --grace 0"
        )
        raise SetupError(msg)
    return platform.psk_sha256[0]


class _File:
    """The lines of a file, and what it is to say once they are changed.

    :ivar places: the number of each section's and key's line, from 1.
    :ivar meaning: what configobj reads, changed along with the lines.
    """

    def __init__(self, content: bytes, path: Path) -> None:
        self.places, self.meaning = _read(content, path)
        self._lines = content.decode().split("\n")
        self._end = "\r" if self._lines[0].endswith("\r") else ""

    @property
    def content(self) -> bytes:
        """The file as it is now."""
        return "\n".join(self._lines).encode()

    def exchange(self, name: str, digests: list[str], end: str | None) -> None:
        """Give the platform *name* these keys, all but the first up to *end*."""
        section = self.meaning["platforms"][name]
        section["psk_sha256"] = digests if len(digests) > 1 else digests[0]
        section.pop("old_psk_until", None)
        section |= {"old_psk_until": end} if end else {}
        keys = self.places.get(("platforms", name, "psk_sha256"), 0)
        old_end = self.places.get(("platforms", name, "old_psk_until"), 0)
        edits = {keys: [self._with(keys, ", ".join(digests))]}
        if old_end:
            edits[old_end] = [self._with(old_end, end)] if end else []
        elif end:
            edits[keys].append(f"{self._indent(keys)}old_psk_until = {end}{self._end}")
        for at in sorted(edits, reverse=True):  # So that the numbers stay right.
            self._lines[at - 1 : at] = edits[at]

    def append(self, name: str, keys: Mapping[str, Sequence[str]]) -> None:
        """Put a section *name* behind the last platform."""
        self.meaning["platforms"][name] = {key: list(value) for key, value in keys.items()}
        ours = {place: at for place, at in self.places.items() if place[0] == "platforms"}
        heads = [at for place, at in ours.items() if len(place) == 2]
        last = max(ours.values())
        head, inner = (self._indent(at) if heads else "" for at in (max(heads, default=0), last))
        lines = ["", f"{head}[[{name}]]", *(inner + line for line in template.lines(keys))]
        at = self._behind(last)
        follows = at < len(self._lines) and self._lines[at].strip()
        self._lines[at:at] = [line + self._end for line in [*lines, *([""] if follows else [])]]

    def _behind(self, last: int) -> int:
        """Return behind which line a section goes in: *last*, or comments that belong to it."""
        at = last
        while at < len(self._lines) and self._lines[at].strip().startswith("#"):
            at += 1
        # Comments right above the next section are about that one.
        return at if at == len(self._lines) or not self._lines[at].strip() else last

    def _with(self, at: int, value: str) -> str:
        """Return line *at* with another value, its blanks and its comment kept."""
        found = _LINE.fullmatch(self._lines[at - 1])
        return found[1] + value + found[2] if found else ""

    def _indent(self, at: int) -> str:
        line = self._lines[at - 1].removeprefix("\ufeff")
        return line[: len(line) - len(line.lstrip())]


def _proved(file: _File, path: Path) -> bytes:
    """Return the content of *file* if it says what it is to say, and is right.

    :raises espm_setup.errors.SetupError: otherwise.
    """
    _platforms(file.content, path, "would be wrong")
    if _read(file.content, path)[1] != file.meaning:
        msg = f"nobody but an editor can change {path} as it is written; nothing was changed"
        raise SetupError(msg)
    return file.content


def _read(content: bytes, path: Path) -> tuple[Mapping[Place, int], dict[str, Any]]:
    """Return where everything is in the file, and what it says.

    :raises espm_setup.errors.SetupError: it cannot be read.
    """
    faults = Faults(path)
    meaning = parse(lines_of(content, faults), faults).dict()
    if found := faults.in_order():
        raise SetupError(_wrong("is wrong", found))
    return faults.places, meaning


def _platforms(content: bytes, path: Path, how: str) -> tuple[Platform, ...]:
    try:
        return platforms_in(content, path)
    except ConfigError as exc:
        raise SetupError(_wrong(how, exc.faults)) from exc


def _wrong(how: str, faults: Sequence[str]) -> str:
    return "\n".join([f"the configuration {how}, so nothing was changed:", *faults])
