"""Where in the ini file everything is, which configobj does not tell.

What a line belongs to must be what configobj thinks of it, so the headers that configobj skips are
skipped here, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from espm.config.file import Faults, Place

_HEADER = re.compile(r"\s*(\[+)\s*(.*?)\s*(\]+)\s*(#.*)?")
_LIKE_HEADER = re.compile(r"\s*\[.*|[^='\"#]*\]\s*")
_ASSIGNMENT = re.compile(r"""\s*("[^"]*"|'[^']*'|[^'"=#][^=]*?)\s*=(.*)""")
_QUOTED = re.compile(r""""[^"]*"|'[^']*'""")


def survey(lines: Sequence[str], faults: Faults) -> None:
    """Note the line of every section and key, and the values that a ``#`` cuts short."""
    sections: Place = ()
    for number, line in enumerate(lines, 1):
        if header := _header(line, sections):
            # configobj skips a section that is there twice, and goes on in the one before.
            sections = sections if header in faults.places else header
            faults.places.setdefault(sections, number)
        elif assignment := _ASSIGNMENT.match(line):
            place = (*sections, assignment[1].strip("\"'"))
            faults.places.setdefault(place, number)
            if re.search(r"\S#", _QUOTED.sub('"', assignment[2])):
                faults.add(place, "the # would cut the value short; put the value in quotes")


def lost(lines: Sequence[str], number: int, places: Mapping[Place, int]) -> range:
    """Return the lines whose section is unknown because line *number* cannot be understood.

    There are none, unless it looks like a header: then they reach up to the next section.
    """
    if not _LIKE_HEADER.fullmatch(lines[number - 1]):
        return range(0)
    begins = (line for place, line in places.items() if len(place) == 1 and line > number)
    headers = (line for line in begins if _header(lines[line - 1], ()))
    return range(number + 1, min(headers, default=len(lines) + 1))


def _header(line: str, inside: Place) -> Place:
    """Return the section that a header begins; empty for what is none to configobj."""
    found = _HEADER.fullmatch(line)
    if not found or len(found[1]) != len(found[3]) or len(found[1]) > len(inside) + 1:
        return ()
    return (*inside[: len(found[1]) - 1], found[2].strip("\"'"))
