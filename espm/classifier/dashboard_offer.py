"""What the dashboard has to offer: its groups, its classes, and whether a node can have parameters.

Names are kept for a while, for each look starts Rails; what seems unknown is looked for afresh.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from espm.classifier.dashboard_values import Said, faults, named, unknown
from espm.errors import InvalidClassification
from espm.rake import Names, folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from espm.model import Classification
    from espm.rake import Rake

log = logging.getLogger(__name__)

#: A look at the dashboard's names that is at most this old (seconds) is fresh.
FRESH = 5.0


class _Known(NamedTuple):
    """The names that a platform may use."""

    groups: Sequence[str]
    classes: Sequence[str]

    def lacking(self, groups: Iterable[str], classes: Iterable[str]) -> Iterator[str]:
        """Yield a fault for each name that is not there."""
        yield from unknown("group", groups, self.groups)
        yield from unknown("class", classes, self.classes)


class Offer:
    """The names of one dashboard; for any number of threads.

    :param environment: the one that all its nodes are in.
    :param withheld: the class that is for nodes which are being deleted, and for no other.
    :param max_age: seconds for which a look at the names serves.
    """

    def __init__(self, rake: Rake, environment: str, withheld: str, max_age: float) -> None:
        self.environment = environment
        self._rake = rake
        self._withheld = withheld
        self._max_age = max_age
        self._groups = Names(lambda: rake.names("nodegroup:list"))
        self._classes = rake.class_names()
        self._warned = False

    def groups(self) -> Sequence[str]:
        """Return the names of the groups in order."""
        return sorted(self._groups.get(self._max_age))

    def said(self, classification: Classification) -> Said:
        """Return what the tasks are to be given for *classification*.

        :raises espm.errors.InvalidClassification: what the dashboard does not know, or its
            tasks cannot carry.
        """
        groups, classes = classification.groups, tuple(classification.classes)
        known = self._known(groups, classes, self._max_age)
        if [*known.lacking(groups, classes)]:
            known = self._known(groups, classes, FRESH)
        found = [*faults(classification, self.environment), *known.lacking(groups, classes)]
        if classification.parameters and "node:parameters" not in self._rake.tasks():
            found.append("parameters: this dashboard is older than 1.2.7 and has no task for them")
        if found:
            msg = found[0] if len(found) == 1 else "the dashboard can't carry this classification"
            raise InvalidClassification(msg, found)
        return Said(
            named(groups, known.groups),
            named(classes, known.classes),
            dict(classification.parameters),
        )

    def lost(self, said: Said, *, classes: bool) -> list[str]:
        """Return what of *said* the tasks dropped, since the dashboard does not have it any more.

        :param classes: whether nobody else looks at the classes.
        """
        wanted = said.classes if classes else ()
        return [*self._known(said.groups, wanted, FRESH).lacking(said.groups, wanted)]

    def refusing(self) -> tuple[str, ...]:
        """Return the class that keeps a node from its catalogs; nothing where it is missing."""
        for max_age in (self._max_age, FRESH):
            if found := named([self._withheld], self._classes.get(max_age)):
                return found
        if not self._warned:
            log.warning(
                "the dashboard has no class %s, so a node that is being deleted gets catalogs "
                "without groups and classes instead of none; run 'rake nodeclass:add name=%s'",
                self._withheld,
                self._withheld,
            )
            self._warned = True
        return ()

    def expire(self) -> None:
        """Have the classes looked for afresh."""
        self._classes.expire()

    def _known(self, groups: Sequence[str], classes: Sequence[str], max_age: float) -> _Known:
        """Return the names of both kinds; none are looked for where none are wanted."""
        found = self._classes.get(max_age) if classes else ()
        withheld = folded(self._withheld)
        return _Known(
            self._groups.get(max_age) if groups else (),
            [name for name in found if folded(name) != withheld],
        )
