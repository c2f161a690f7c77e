"""Which lives are over, for a writer that comes late not to bring a document back."""

from __future__ import annotations

from array import array

#: For how many names there is room; a late writer is late by minutes, not by thousands of
#: deletions.
PLACES = 16_384

_NOTHING = -1


class Forgotten:
    """Generations that were forgotten, by name, in room that is taken once.

    A name is remembered until another with the same place is forgotten.  As numbers of Python's the
    same would take five times the room, among all that comes and goes with each request.

    :param places: for how many names there is room.
    """

    def __init__(self, places: int = PLACES) -> None:
        self._places = places
        self._names = array("q", [0]) * places
        self._generations = array("q", [_NOTHING]) * places

    def add(self, name: str, generation: int) -> None:
        """Remember that the lives of *name* up to *generation* are over."""
        place, known = self._place(name), self.generation(name)
        self._names[place] = hash(name)
        self._generations[place] = max(generation, known)

    def drop(self, name: str) -> None:
        """Forget what is remembered of *name*."""
        if self.generation(name) != _NOTHING:
            self._generations[self._place(name)] = _NOTHING

    def generation(self, name: str) -> int:
        """Return the last generation of *name* that is remembered, less than any if none is."""
        place = self._place(name)
        return self._generations[place] if self._names[place] == hash(name) else _NOTHING

    def _place(self, name: str) -> int:
        return hash(name) % self._places
