"""Lists of classes as they go out, made once: a site has thousands of classes.

To make JSON of the classes of Debian's modules takes 30 ms, to send them 2 ms.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from espm import limits
from espm.api.bodies import catalogue_body
from espm.api.message import encoded, entity_tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from espm.model import Catalogue

#: How many lists are kept, each of up to a megabyte; the least recently asked one goes first.
KEPT = 8


class ClassList(NamedTuple):
    """A list as JSON, and its entity tag."""

    body: bytes
    etag: str


class ClassLists:
    """The lists that were asked for lately; for any number of threads."""

    def __init__(self) -> None:
        self._lists: OrderedDict[tuple[str, str], ClassList] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, catalogue: Catalogue, globs: Sequence[str]) -> ClassList:
        """Return the classes of *catalogue* whose names *globs* permit."""
        etag = entity_tag(f"{catalogue.etag} {globs}".encode())
        key = (catalogue.environment, etag)
        with self._lock:
            if key in self._lists:
                self._lists.move_to_end(key)
                return self._lists[key]
        body = catalogue_body(catalogue, lambda name: limits.allows(name, globs))
        made = ClassList(encoded(body), etag)
        with self._lock:
            self._lists[key] = made
            if len(self._lists) > KEPT:
                self._lists.popitem(last=False)
        return made
