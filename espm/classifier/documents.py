"""One file per node, changed so that a reader takes half of it for nothing that is in force.

A writer writes aside (a dot-file in the same directory), syncs, renames and syncs the directory; it
looks at what is in force and renames under a lock that all writers share.  What is in force only
ever goes forward::

    none ──> (generation, present, version) ──> (generation, withheld) ──> none
                    │        ^                        │
                    └────────┘ same or later version  └──> a later generation

A document that is rewritten with its own stamp takes the place of the old one (the groups file
changed), one with an earlier stamp is left unwritten (its writer is late), also when the
document it is too late for has been forgotten meanwhile.

A document is withheld where it is, by ten octets of its first line, for a new file would be the
most of what a deletion costs.  Whoever reads at that moment sees the old line, the new one, or some
of both, which is a damaged one and withheld as well.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from espm.classifier.directory import Directory, translated
from espm.classifier.forgotten import Forgotten
from espm.classifier.render import head
from espm.classifier.stamp import Stamp, State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from espm.classifier.directory import Opened

_HEAD = re.compile(
    rb'\{"espm": \{"generation": (0|[1-9][0-9]{0,17}), "version": (0|[1-9][0-9]{0,17}), '
    rb'"state":( "present"| "withheld"|"withheld")\},'
)
_PRESENT, _WITHHELD, _MARKED = b' "present"', b' "withheld"', b'"withheld"'

#: What follows the head of a tombstone that never was a document; nothing prints it.
TOMBSTONE = '"classes": {}, "parameters": {}}\n'


class Documents:
    """The documents of one ENC directory; for any number of threads and processes.

    Every method raises :exc:`~espm.errors.BackendUnavailable` when the directory is away, full
    or not ours to write; then the documents are as they were, but for :meth:`withhold`.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = Directory(directory)
        self._forgotten = Forgotten()

    def publish(
        self, name: str, stamp: Stamp, body: str, *, force: bool = False, new: bool = True
    ) -> bool:
        """Put a document in force unless a later one is; return whether the file changed.

        Durable when it returns.  Idempotent.

        :param body: what follows the head: the rest of the JSON object, with a newline.
        :param force: replace later documents too.
        :param new: whether the file is expected to change.
        """
        content = f"{head(stamp.generation, stamp.version, stamp.state)}\n{body}".encode()
        with translated, self._directory.opened() as opened:
            if new:
                # A repeat writes nothing, so a full disk does not stop it.
                old = opened.read(_file(name))
                new = content != old and (force or not self._too_late(name, stamp, old))
            with opened.aside(content, at_once=new) as aside, opened.lock():
                old = opened.read(_file(name))
                if not force and self._too_late(name, stamp, old):
                    return False
                self._forgotten.drop(name)
                changed = content != old
                if changed:
                    aside.become(_file(name))
            # Also when nothing changed: the writer before may have died between rename and sync.
            opened.sync()
        return changed

    def withhold(self, name: str, stamp: Stamp, *, force: bool = False) -> bool:
        """Put a tombstone in force unless a later document is; return whether the file changed.

        Durable when it returns, and where it raises the document may be withheld all the same.
        Idempotent.  No file is made where there is a document of that generation.

        :param force: replace later documents too.
        """
        with translated, self._directory.opened() as opened:
            with opened.lock():
                found = _HEAD.match(opened.read(_file(name)) or b"")
                marked = None
                if found and int(found[1]) == stamp.generation and found[3] != _WITHHELD:
                    marked = opened.overwritten(_file(name), found.start(3), _MARKED)
            if found and marked:
                opened.settle(marked)
                return found[3] == _PRESENT
        return self.publish(name, stamp, TOMBSTONE, force=force)

    def forget(self, *lives: tuple[str, int]) -> None:
        """Remove documents, each unless it is of a later generation.  Durable, idempotent.

        :param lives: names and generations.
        """
        with translated, self._directory.opened() as opened:
            with opened.lock():
                over = [life for life in lives if not _is_later(opened, *life)]
                opened.remove(*(_file(name) for name, _ in over))
                for name, generation in over:
                    self._forgotten.add(name, generation)
            opened.sync()

    def stamps(self) -> Mapping[str, Stamp | None]:
        """Return what is in force, by name; None for a file that is not a document."""
        with translated, self._directory.locked() as opened:
            names = (file.removesuffix(".json") for file in opened.files() if _is_ours(file))
            return {name: _stamp(opened.read(_file(name))) for name in sorted(names)}

    def names(self) -> frozenset[str]:
        """Return the names that have a file; none of them is opened."""
        with translated, self._directory.locked() as opened:
            files = filter(_is_ours, opened.files())
            return frozenset(file.removesuffix(".json") for file in files)

    def is_later(self, name: str, generation: int) -> bool:
        """Return whether the document in force is of a later generation."""
        with translated, self._directory.locked() as opened:
            return _is_later(opened, name, generation)

    def sweep(self) -> None:
        """Remove what writers left that were killed while they wrote."""
        with translated, self._directory.locked() as opened:
            opened.sweep()

    def ping(self) -> None:
        """Return when a document could be written now."""
        with translated, self._directory.locked() as opened:
            opened.probe()

    def _too_late(self, name: str, stamp: Stamp, old: bytes | None) -> bool:
        in_force = _stamp(old)
        if in_force is not None:
            return stamp.precedence < in_force.precedence
        return stamp.generation <= self._forgotten.generation(name)


def _is_later(opened: Opened, name: str, generation: int) -> bool:
    in_force = _stamp(opened.read(_file(name)))
    return in_force is not None and in_force.generation > generation


def _file(name: str) -> str:
    return f"{name}.json"


def _is_ours(file: str) -> bool:
    return file.endswith(".json") and not file.startswith(".")


def _stamp(content: bytes | None) -> Stamp | None:
    """Return the stamp in the head of a document; None for none and for a damaged one.

    A damaged document says nothing that could be later than ours, so it is replaced.
    """
    found = _HEAD.match(content) if content else None
    if found is None:
        return None
    return Stamp(int(found[1]), int(found[2]), State(found[3].strip(b' "').decode()))
