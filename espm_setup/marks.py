r"""A block of lines of ours in a file of somebody else, and its exact removal.

The block goes in at a place inside the text, *before* the line break that ends the line there,
so that it begins with a line break of its own and ends without one::

    [server]⏎                      [server]⏎
    ca = true⏎          ->          # espm begin⏎
                                    node_terminus = exec⏎
                                    # espm end⏎
                                    ca = true⏎

Where the line goes on behind the place, a comment would swallow the rest; then the block brings
a line break at its end, too, and its last line says so.  Either way ``remove(insert(text))`` is
*text*, byte for byte, whatever else was edited meanwhile.
"""

from __future__ import annotations

import re

_BEGIN = "# espm begin: made by espm_setup --apply, removed by espm_setup --unapply"
_END = "# espm end"
_END_AND_BREAK = "# espm end (with a line break)\n"
_BLOCK = re.compile(
    rf"\n[ \t]*{re.escape(_BEGIN)}\n.*?"
    rf"(?:{re.escape(_END_AND_BREAK)}|{re.escape(_END)}(?=\r?\n|\Z))",
    re.DOTALL,
)


def insert(text: str, place: int, lines: list[str], indent: str = "") -> str:
    """Return *text* with a block of *lines* at the offset *place*."""
    rest = text[place:]
    end = _END if re.match(r"\r?\n|\Z", rest) else _END_AND_BREAK
    block = "".join(f"\n{indent}{line}" for line in [_BEGIN, *lines, end])
    return text[:place] + block + rest


def remove(text: str) -> str:
    """Return *text* without our blocks."""
    return _BLOCK.sub("", text)


def present(text: str) -> bool:
    """Return whether *text* has a block of ours."""
    return _BLOCK.search(text) is not None
