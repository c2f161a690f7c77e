"""Reading the ini file and holding it to its specification, every fault collected.

configobj has traps, and this module is where they are met: unknown keys are no errors to it, an
unquoted ``#`` cuts a value short, ``%(x)s`` would be interpolated, and its parser splits text
that it is given at characters that editors don't take for line ends.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from configobj import (
    ConfigObj,
    ConfigObjError,
    DuplicateError,
    NestingError,
    flatten_errors,
    get_extra_values,
)

from espm.config.spec import meaning, validator
from espm.config.survey import lost, survey

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

#: More than this is no configuration of espm's.
SIZE_LIMIT = 256 * 1024


_AS = {True: "write [it] on a line of its own", False: "write it = value"}

Place = tuple[str, ...]
"""Names of sections, outermost first, and of a key, if any."""


@dataclass(slots=True)
class Faults:
    """The faults of one file, kept with their places so that they come out in its order.

    :ivar places: the line of each section and key.
    :ivar lost: the lines after a header that cannot be understood, up to the next section: whose
        they are is not known, so what seems wrong about them is no fault of theirs.
    """

    path: Path
    places: dict[Place, int] = field(default_factory=dict)
    lost: list[range] = field(default_factory=list)
    _found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, place: Place, what: str, *, line: int | None = None) -> None:
        """Note *what* is wrong at *place*; at the top of the file when that is empty."""
        *sections, key = place or ("",)
        where = f"[{']['.join(sections)}] {key}".rstrip() + ": " if sections else ""
        where = where or (f"{key}: " if key else "")
        self._found.append((line or self.line(place), f"{self.path}: {where}{what}"))

    def is_lost(self, line: int) -> bool:
        """Return whether it is not known which section *line* is in."""
        return any(line in lines for lines in self.lost)

    def in_order(self) -> tuple[str, ...]:
        """Return the faults as lines of text, each once, in the order of the file."""
        return tuple(dict.fromkeys(text for _, text in sorted(self._found, key=lambda f: f[0])))

    def line(self, place: Place) -> int:
        """Return the line of *place* or of the innermost section around it that is there."""
        while place and place not in self.places:
            place = place[:-1]
        return self.places.get(place, 0)


def read(path: Path, faults: Faults) -> list[str]:
    """Return the lines of the file at *path*; what is in the way becomes a fault."""
    try:
        # Without O_NONBLOCK, a pipe would make us wait for its other end.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                faults.add((), "this is not a file")
                return []
            content = file.read(SIZE_LIMIT + 1)
    except (OSError, ValueError) as exc:
        faults.add((), f"cannot be read: {reason(exc)}")
        return []
    return lines_of(content, faults)


def parse(lines: Sequence[str], faults: Faults) -> ConfigObj:
    """Return *lines* as configobj sees them, and note where everything is."""
    survey(lines, faults)
    try:
        return ConfigObj(list(lines), interpolation=False, list_values=True, raise_errors=False)
    except ConfigObjError as exc:
        for error in exc.errors:
            _add_syntax(lines, error, faults)
        return exc.config


def hold_to(spec: ConfigObj, found: ConfigObj, faults: Faults, *, unused: Iterable[str]) -> None:
    """Validate *found* by *spec*, in place; keys may be missing in the *unused* sections."""
    _drop_mismatched(spec, found, (), faults)
    present = tuple(found.sections)  # Validating adds those that are missing.
    found.configspec = spec
    outcome = found.validate(validator(), preserve_errors=True)
    # Where a header is broken, a section that is not there may be the one that it was to begin.
    left_out = {*unused, *(set(spec.sections) - set(present) if faults.lost else ())}
    for sections, key, error in flatten_errors(found, outcome):
        _add_invalid(spec, (*sections, key) if key else tuple(sections), error, faults, left_out)
    for sections, name in get_extra_values(found):
        if not faults.is_lost(faults.line((*sections, name))):
            _add_unknown(spec, found, (*sections, name), faults)


def reason(exc: OSError | ValueError) -> str:
    """Return why a file could not be opened, without its name."""
    return (exc.strerror if isinstance(exc, OSError) else None) or "its name is not a path"


def lines_of(content: bytes, faults: Faults) -> list[str]:
    """Return the lines of a file with this *content*; none, with a fault, if it is no text."""
    if len(content) > SIZE_LIMIT:
        faults.add((), f"larger than {SIZE_LIMIT // 1024} KiB; this is no configuration of espm's")
        return []
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        faults.add((), f"not UTF-8 text (byte {exc.start}); save it as UTF-8")
        return []
    if "\0" in text:
        faults.add((), "there is a NUL byte in it; this is not a text file")
        return []
    return [line.rstrip("\r") for line in text.split("\n")]


def _add_syntax(lines: Sequence[str], error: ConfigObjError, faults: Faults) -> None:
    """Note a fault of the parser, unless an earlier one has caused it."""
    number = error.line_number
    consequence = isinstance(error, DuplicateError | NestingError) and faults.is_lost(number)
    if not consequence:
        faults.add((), _syntax(error), line=number)
    if after := lost(lines, number, faults.places):
        faults.lost.append(after)


def _syntax(error: ConfigObjError) -> str:
    """Return what configobj's parser minds; its own words repeat the line, secrets and all."""
    what = {
        DuplicateError: "this key or section is there twice; keep one",
        NestingError: "the brackets don't fit the sections around; [section] or [[platform]]",
    }.get(type(error), 'neither "key = value" nor "[section]", or its quotes don\'t match')
    return f"line {error.line_number}: {what}"


def _drop_mismatched(spec: Any, found: Any, place: Place, faults: Faults) -> None:
    """Take sections in place of keys out, and the other way round: configobj stumbles on them."""
    for name in [*found.scalars, *found.sections]:
        if name in (spec.sections if name in found.scalars else spec.scalars):
            is_key = name in found.scalars
            faults.add((*place, name), f"this is a {'section' if is_key else 'key'}, {_AS[is_key]}")
            del found[name]
        elif name in found.sections and (inner := spec.get(name, spec.get("__many__"))):
            _drop_mismatched(inner, found[name], (*place, name), faults)


def _add_invalid(spec: Any, place: Place, error: Any, faults: Faults, unused: set[str]) -> None:
    owner, key = _owner(spec, place)
    if error is False and (owner is None or place[0] in unused):
        return
    what = "missing" if error is False else str(error).rstrip(".")
    faults.add(place, f"{what}. {meaning(owner, key)}".rstrip() if owner else what)


def _owner(spec: Any, place: Place) -> tuple[Any, str]:
    """Return the section of *spec* that describes *place*, or None, and the key's name."""
    for name in place[:-1]:
        spec = spec.get(name, spec.get("__many__"))
        if not isinstance(spec, dict):
            return None, place[-1]
    return spec, place[-1]


def _add_unknown(spec: Any, found: Any, place: Place, faults: Faults) -> None:
    owner, name = _owner(spec, place)
    for section in place[:-1]:
        found = found[section]
    kind = "section" if name in found.sections else "key"
    choices = [*owner.scalars, *owner.sections] if owner is not None else []
    close = get_close_matches(name, [c for c in choices if c != "__many__"], n=1)
    hint = f"did you mean {close[0]}?" if close else "take it out"
    faults.add(place, f"there is no such {kind}; {hint}")
