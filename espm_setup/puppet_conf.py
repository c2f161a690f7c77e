"""The edit of puppet.conf: the exec node terminus, with our ENC in front of the one there was.

Puppet reads the settings of a server from ``[server]``, then ``[master]``, then ``[main]``
(``configsearchpath`` in puppet/settings.rb), and refuses a section that is there twice
(puppet/settings/config_file.rb).  So the lines go into ``[server]`` when it exists, else into
``[master]`` when that exists, else into a new ``[server]``.  What stood in that section is kept
as a comment, and our block says how such a comment begins: with words that no other line begins
with, so that nobody's own comment is ever taken for one.  Nothing else is touched, not even line
breaks.
"""

from __future__ import annotations

import re

from espm_setup import marks
from espm_setup.errors import SetupError

_KEPT = ("# espm keeps: ", *(f"# espm keeps {number}: " for number in range(2, 100)))
_NOTE = "# What was here before is behind "
_SECTION = re.compile(r"[ \t]*\[(\w+)\][ \t\r\f\v]*")
_OURS = re.compile(r"[ \t]*(?:node_terminus|external_nodes)[ \t]*=")


def settings(enc: list[str]) -> list[str]:
    """Return the lines that make Puppet ask the program *enc* (words of a command).

    :raises espm_setup.errors.SetupError: Puppet would split a word of it (Node::Exec#command in
        puppet/indirector/node/exec.rb splits at white space and knows no quotes).
    """
    for word in enc:
        if not word or re.search(r"\s|[\"'$]", word):
            msg = f"Puppet cannot run an ENC with '{word}' in its command: no spaces, quotes or $"
            raise SetupError(msg)
    return ["node_terminus = exec", f"external_nodes = {' '.join(enc)}"]


def applied(text: str, enc: list[str]) -> str:
    """Return puppet.conf with our settings in force; as it is when they are already.

    :param text: the file with its line breaks as they are.
    """
    plain = removed(text)
    lines = settings(enc)
    sections = {name: (start, stop) for name, start, stop in _sections(plain)}
    for name in ("server", "master"):
        if name in sections:
            return _in_section(plain, *sections[name], lines)
    return marks.insert(plain, len(plain), ["[server]", *lines])


def removed(text: str) -> str:
    """Return puppet.conf without our settings and with those that they replaced.

    :raises espm_setup.errors.SetupError: our marks do not pair any more.
    """
    kept = [line.removeprefix(_NOTE)[1:-1] for line in marks.content(text) if _NOTE in line]
    plain = marks.remove(text)
    for words in kept:
        plain = re.sub(rf"(?m)^{re.escape(words)}(?={_OURS.pattern})", "", plain)
    return plain


def _in_section(text: str, start: int, stop: int, lines: list[str]) -> str:
    """Return *text* with *lines* behind the section's header, which ends at *start*."""
    section = text[start:stop].split("\n")
    if any(map(_OURS.match, section)):
        words = _unused(text)
        section = [words + line if _OURS.match(line) else line for line in section]
        lines = [f'{_NOTE}"{words}"', *lines]
    return marks.insert(text[:start] + "\n".join(section) + text[stop:], start, lines)


def _unused(text: str) -> str:
    """Return how no line of *text* begins."""
    free = (words for words in _KEPT if not re.search(rf"(?m)^{re.escape(words)}", text))
    if words := next(free, None):
        return words
    msg = "every form of '# espm keeps:' is used in a comment; remove some of these comments"
    raise SetupError(msg)


def _sections(text: str) -> list[tuple[str, int, int]]:
    """Return each section's name, the end of its header's text and the section's end."""
    found: list[tuple[str, int, int]] = []
    offset = 0
    for line in text.split("\n"):
        if match := _SECTION.fullmatch(line):
            if found:
                name, start, _ = found[-1]
                found[-1] = (name, start, offset)
            found.append((match[1], offset + len(line.rstrip("\r")), len(text)))
        offset += len(line) + 1
    return found
