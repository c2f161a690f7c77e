"""What the commands of old Puppet say, and on which stream (reference facts 1.1, 1.2, 1.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.legacy.puppet_versions import Traits

#: level: (word up to 2.7, word since 3.0, colour up to 2.7, colour since 3.0).  The reference has
#: the colours of err and of Notice; the others are taken from the source.
_LEVELS = {
    "notice": ("notice", "Notice", "0;36", ""),
    "warning": ("warning", "Warning", "0;33", "1;31"),
    "err": ("err", "Error", "1;35", "1;31"),
    "crit": ("crit", "Critical", "1;31", "1;31"),
}
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\x1b": "\\e"}


def inspect(text: str) -> str:
    """Return *text* as Ruby's ``inspect`` writes it."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    return letter if letter.isprintable() else f"\\x{ord(letter):02X}"


class Speech:
    """One command's voice.

    :param colour: whether it uses ANSI escapes, as all versions do unless told otherwise.
    :param out: takes what goes to stdout; likewise *err*.
    """

    def __init__(
        self,
        traits: Traits,
        out: Callable[[str], None],
        err: Callable[[str], None],
        *,
        colour: bool,
    ) -> None:
        self._traits = traits
        self._out = out
        self._err = err
        self._colour = colour

    def put(self, text: str) -> None:
        """Write plain text to stdout."""
        self._out(text + "\n")

    def complain(self, text: str) -> None:
        """Write plain text to stderr."""
        self._err(text + "\n")

    def log(self, level: str, text: str) -> None:
        """Write a line of a level: up to 2.7 all of them go to stdout, then only notices do."""
        modern = self._traits.modern
        line = f"{_LEVELS[level][modern]}: {text}"
        if self._colour:
            line = f"\x1b[{_LEVELS[level][2 + modern]}m{line}\x1b[0m"
        (self.complain if modern and level != "notice" else self.put)(line)

    def notice(self, text: str) -> None:
        """Tell what was done."""
        self.log("notice", text)

    def failed(self, action: str, text: str) -> None:
        """Tell that the action failed: 2.7.19 to 2.7.26 tell it twice."""
        self.log("err", text if self._traits.modern else f"Could not call {action}: {text}")
        if self._traits.failure and not self._traits.modern:
            self.put(text)

    def misused(self, text: str) -> None:
        """Tell that the command makes no sense: up to 2.7 without a level."""
        if self._traits.modern:
            self.log("err", text)
        else:
            self.put(text)
