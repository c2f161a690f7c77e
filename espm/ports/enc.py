"""What we need of Puppet's ENC, and of Puppet as the one who knows the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from espm.model import Catalogable, Catalogue, Certname, Classification, Group, Node


class Classifier(Protocol):
    """Puppet's ENC, as far as it concerns our nodes.

    Every method raises :exc:`~espm.errors.BackendUnavailable` or
    :exc:`~espm.errors.BackendRefused` when the ENC lets us down.
    """

    def groups(self) -> Sequence[Group]:
        """Return the groups of the ENC, ordered by name."""

    def resolve(self, classification: Classification) -> Catalogable:
        """Return what Puppet would be told: groups and node merged.

        :raises espm.errors.InvalidClassification: unknown groups, or groups that contradict
            each other.
        """

    def knows(self, certname: Certname) -> bool:
        """Return whether somebody but us classifies *certname*."""

    def classify(self, node: Node) -> None:
        """Put the node's classification in force.

        Idempotent; does nothing when a later version, or the withholding of this generation, is
        in force.

        :raises espm.errors.BackendRefused: a later generation is in force.
        """

    def withhold(self, node: Node) -> None:
        """Make Puppet refuse every catalog of the node.  Idempotent; nothing brings it back."""

    def forget(self, *nodes: Node) -> None:
        """Take away all that was said of the nodes.  Idempotent; spares later generations.

        Where it raises, some may be forgotten.
        """

    def ping(self) -> None:
        """Return when the ENC can be written."""


class Rebuilt(Protocol):
    """What a rebuild did, as certnames.

    :ivar written: documents that were not as the ledger says.
    :ivar orphans: documents that no live node explains; they are still there.
    """

    @property
    def written(self) -> Sequence[str]: ...  # noqa: D102 - the class says it

    @property
    def orphans(self) -> Sequence[str]: ...  # noqa: D102 - the class says it


class Orphans(Protocol):
    """What of ledger and ENC lacks its other half, as certnames.

    :ivar nodes: active nodes without a document.
    :ivar documents: documents that no live node explains.
    """

    @property
    def nodes(self) -> Sequence[str]: ...  # noqa: D102 - the class says it

    @property
    def documents(self) -> Sequence[str]: ...  # noqa: D102 - the class says it


@runtime_checkable
class Reloadable(Protocol):
    """A classifier whose groups come from a file of ours."""

    def reload(
        self, nodes: Iterable[Node], check: Callable[[Catalogable], Sequence[str]] | None
    ) -> Rebuilt:
        """Read the groups anew and write the documents of *nodes* that change.

        :param check: says what Puppet does not have of what a group makes of a node.
        :raises espm.errors.GroupsError: all that is wrong; the old groups stay in force.
        """

    def misfits(self, nodes: Iterable[Node]) -> Sequence[str]:
        """Return what of *nodes*, all live ones, the groups do not fit; a sentence each."""


@runtime_checkable
class Rebuildable(Protocol):
    """A classifier that keeps documents which the ledger can make anew."""

    def rebuild(self, nodes: Iterable[Node]) -> Rebuilt:
        """Write the documents of *nodes* where they differ; report those of nobody."""

    def orphans(self, nodes: Iterable[Node]) -> Orphans:
        """Return what of *nodes*, all live ones, and documents lacks its other half.

        Changes nothing, and may be called while espm runs; then what is under way may be in it.
        """


class ClassCatalogue(Protocol):
    """The classes that Puppet has."""

    def classes(self, environment: str, *, max_age: float | None = None) -> Catalogue:
        """Return the classes of *environment*, at most *max_age* seconds old.

        None leaves the age to the configuration; 0 looks afresh.

        :raises espm.errors.EnvironmentUnknown: Puppet has no such environment.
        :raises espm.errors.BackendUnavailable: Puppet can't be asked.
        """
