"""How the tasks bring a node of the dashboard to what it should be.

::

    never told       node:add ──> node:parameters, if any
    told             node:classes, node:groups ──> node:parameters for what is new
                     └─ a parameter has to go or (up to 1.2.22) to change, or what the node has
                        is not known:  node:del ──> node:add ──> node:parameters
    not there        node:add ...

Up to 1.2.22 a parameter that is set again is there twice, and no task takes one away (reference
facts on old Puppet, 3.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from espm.errors import BackendError, BackendUnavailable, InvalidClassification
from espm.rake import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from espm.classifier.dashboard_enc import DashboardEnc, Told
    from espm.classifier.dashboard_values import Said
    from espm.model import Certname
    from espm.rake import Rake

#: A task that came with the version which changes a parameter instead of adding a second one.
_CHANGES_PARAMETERS = "node:addgroup"


class DashboardNodes:
    """The nodes of one dashboard; for one thread at a time."""

    def __init__(self, rake: Rake, enc: DashboardEnc) -> None:
        self._rake = rake
        self._enc = enc

    def add(self, name: Certname, said: Said) -> Outcome:
        """Add a node: DONE, or EXISTS and nothing was done.

        :raises espm.errors.BackendError: a part of it may have been done.
        """
        outcome = self._rake.add(name, said.groups, said.classes)
        if outcome is Outcome.DONE:
            self._give(name, said.parameters)
        return outcome

    def change(self, name: Certname, said: Said, told: Mapping[str, str] | None) -> None:
        """Make a node of ours what it should be; one that is gone is added.

        :param told: the parameters that it has of us; None when that is not known.
        :raises espm.errors.BackendError: a part of it may have been done.
        """
        missing = self._missing(name, said, told)
        if missing is None:
            self._rake.delete(name)
        elif self.replace(name, said) is Outcome.DONE:
            self._give(name, missing)
            return
        self.put(name, said)

    def put(self, name: Certname, said: Said) -> None:
        """Add a node of ours that is not there.

        :raises espm.errors.BackendError: somebody was quicker, or a part of it may be done.
        """
        if self.add(name, said) is Outcome.EXISTS:
            msg = f"somebody else works on {name} in the dashboard; try again"
            raise BackendUnavailable(msg)

    def replace(self, name: Certname, said: Said) -> Outcome:
        """Replace classes and groups of a node: DONE, or MISSING.

        :raises espm.errors.BackendError: a part of it may have been done.
        """
        if self._rake.replace("classes", name, said.classes) is Outcome.MISSING:
            return Outcome.MISSING
        return self._rake.replace("groups", name, said.groups)

    def withhold(self, name: Certname, refusing: Said) -> bool:
        """Give a node nothing but what makes Puppet refuse its catalogs, if there is that.

        :returns: whether the node was there.
        :raises espm.errors.BackendError: a part of it may have been done.
        """
        there = self.replace(name, refusing) is Outcome.DONE
        if refusing.classes and not there:
            self.put(name, refusing)
        return there

    def is_lost(self, name: Certname, said: Said) -> bool:
        """Return whether the ENC says other things; see :meth:`_seen`."""
        seen = self._seen(name)
        return seen is not None and bool(seen.differences(said))

    def remove(self, name: Certname) -> None:
        """Remove a node; one that is not there is fine.

        :raises espm.errors.BackendError: it may still be there.
        """
        self._rake.delete(name)
        seen = self._seen(name)
        if seen is not None and seen.is_known:
            msg = f"the dashboard still has {name}; try again"
            raise BackendUnavailable(msg)

    def _seen(self, name: Certname) -> Told | None:
        """Return what the ENC says, None if it can't be asked.

        A revocation does not wait for it: without an ENC, nobody gets a catalog either.
        """
        try:
            return self._enc.told(name)
        except BackendError:
            return None

    def _missing(
        self, name: Certname, said: Said, told: Mapping[str, str] | None
    ) -> Mapping[str, str] | None:
        """Return the parameters to add in place; None when that does not do."""
        tasks = self._rake.tasks()
        if "node:parameters" not in tasks:
            return {}
        told = self._told_nothing(name) if told is None else told
        if told is None or told.keys() - said.parameters.keys():
            return None
        changed = {key: value for key, value in said.parameters.items() if told.get(key) != value}
        return changed if _CHANGES_PARAMETERS in tasks or not told.keys() & changed.keys() else None

    def _told_nothing(self, name: Certname) -> Mapping[str, str] | None:
        """Return no parameters where the ENC says that there are none; None when unknown."""
        try:
            seen = self._enc.told(name)
        except InvalidClassification:
            return None  # Its groups contradict each other, which this change may end.
        return {} if seen is not None and not seen.parameters else None

    def _give(self, name: Certname, parameters: Mapping[str, str]) -> None:
        if parameters and self._rake.give(name, parameters.items()) is Outcome.MISSING:
            msg = f"somebody else works on {name} in the dashboard; try again"
            raise BackendUnavailable(msg)
