r"""A block of lines of ours in a file of somebody else, and its exact removal.

The block goes in at a place inside the text, *before* the line break that ends the line there,
so that it begins with a line break of its own and ends without one::

    [server]⏎                      [server]⏎
    ca = true⏎          ->          # espm begin⏎
                                    node_terminus = exec⏎
                                    # espm end⏎
                                    ca = true⏎

Where the line goes on behind the place, a comment would swallow the rest, and behind a last line
that is whole what somebody appends later; then the block brings a line break at its end, too, and
its last line says so.  Either way ``remove(insert(text))`` is *text*, byte for byte, whatever else
was edited meanwhile.

A block that has lost one of its marks is no more ours to cut out: nobody can say where it ends.
An editor that gave all lines the breaks of Windows does no harm.
"""

from __future__ import annotations

import re

from espm_setup.errors import SetupError

_BEGIN = "# espm begin: made by espm_setup --apply, removed by espm_setup --unapply"
_END = "# espm end"
_BREAKS = "# espm end (with a line break)"
_BLOCK = re.compile(
    r"(?:(?:\A|\n)[ \t]*{0}\n|(?:\A|\r\n)[ \t]*{0}\r\n)"
    r"(.*?)(?:{1}\r?\n|{2}(?=\r?\n|\Z))".format(*map(re.escape, (_BEGIN, _BREAKS, _END))),
    re.DOTALL,
)


def insert(text: str, place: int, lines: list[str], indent: str = "") -> str:
    """Return *text* with a block of *lines* at the offset *place*."""
    rest = text[place:]
    goes_on = rest or text.endswith("\n") or not text
    end = f"{_BREAKS}\n" if goes_on and not re.match(r"\r?\n", rest) else _END
    block = "".join(f"\n{indent}{line}" for line in [_BEGIN, *lines, end])
    return text[:place] + block + rest


def remove(text: str) -> str:
    """Return *text* without our blocks.

    :raises espm_setup.errors.SetupError: a block is not whole any more; says in which line.
    """
    _pair(text)
    plain = _BLOCK.sub("", text)
    # A mark that was moved or is not alone in its line belongs to no block.
    _refuse_at(next((number for number, _ in _marks(plain)), 0))
    return plain


def content(text: str) -> list[str]:
    """Return the lines between the marks of our blocks."""
    return [line.strip() for block in _BLOCK.findall(text) for line in block.splitlines()]


def _pair(text: str) -> None:
    begun = 0
    for number, mark in _marks(text):
        if (mark == _BEGIN) == bool(begun):
            _refuse_at(begun or number)
        begun = 0 if begun else number
    _refuse_at(begun)


def _marks(text: str) -> list[tuple[int, str]]:
    """Return the number and the text of each line with a mark."""
    lines = ((number, line.strip()) for number, line in enumerate(text.split("\n"), 1))
    return [(number, line) for number, line in lines if line in (_BEGIN, _END, _BREAKS)]


def _refuse_at(number: int) -> None:
    if number:
        msg = (
            f"line {number}: the marks '# espm begin' and '# espm end' do not pair any more; take "
            "espm's lines out by hand, or put the copy *.espm-backup back, and repeat"
        )
        raise SetupError(msg)
