"""The built-in ENC: groups from a file, one document per node, and ``espm_enc`` that prints it.

A node's document depends on the node and on the groups.  One lock holds the two together: while
the groups are exchanged no node is classified, so every document is of the groups in force.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from espm.classifier import fit
from espm.classifier import groups as groups_file
from espm.classifier.documents import Documents
from espm.classifier.fallback import Fallback
from espm.classifier.merge import merge
from espm.classifier.recent import Recent
from espm.classifier.render import body
from espm.classifier.stamp import Stamp, State
from espm.errors import BackendRefused, BackendUnavailable, ConfigError
from espm.model import NodeState
from espm.names import environment_fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from espm.classifier.fit import Check
    from espm.model import Catalogable, Certname, Classification, Group, Node, PuppetAccess

SPEC = """
# Directory of the documents that espm_enc prints; espm_setup prepares it.
directory = path(default="/opt/espm/enc")
# Group of Puppet Server's user, to which espm_setup gave the directory; change that by chgrp -R.
group = string(default="puppet")
# YAML file of the node groups, which is yours: espm only reads it.
groups_file = path(default="/opt/espm/etc/groups.yaml")
# Command of the ENC that was there before, asked for names that are not espm's; empty for none.
# It is split at spaces, as Puppet's external_nodes is.
fallback = string(default="")
# Environment of nodes for which neither the platform nor a group names one.
environment = string(default="production")
"""

#: The lines of ``espm check`` that are about it and its catalogue.
CHECKS = ("client TLS", "classes", "ENC", "ENC readers", "ENC groups", "ENC hook-up")

#: What platforms may say of a node; GET /v1/whoami says it.
CAN = ("environment", "groups", "classes", "parameters")


class Rebuilt(NamedTuple):
    """What a rebuild did, as certnames.

    :ivar written: documents that were not as the ledger says.
    :ivar orphans: documents that no live node explains; they are still there.
    """

    written: tuple[str, ...]
    orphans: tuple[str, ...]


class Orphans(NamedTuple):
    """What of ledger and ENC lacks its other half, as certnames.

    :ivar nodes: active nodes without a document.
    :ivar documents: documents that no live node explains.
    """

    nodes: tuple[str, ...]
    documents: tuple[str, ...]


def connect(options: Mapping[str, Any], access: PuppetAccess) -> BuiltinClassifier:  # noqa: ARG001 -- every backend is connected alike
    """Return the built-in ENC that the section *options* describes, its groups loaded.

    :raises espm.errors.ConfigError: groups file, fallback or environment are wrong.
    """
    fallback = options["fallback"].split()
    if fallback and not fallback[0].startswith("/"):
        raise ConfigError([f"[builtin] fallback: not an absolute path: {fallback[0]}"])
    if fault := environment_fault(options["environment"]):
        raise ConfigError([f"[builtin] {fault}"])
    classifier = BuiltinClassifier(
        Path(options["directory"]),
        Path(options["groups_file"]),
        environment=options["environment"],
        fallback=Fallback(fallback) if fallback else None,
    )
    classifier.load()
    with suppress(BackendUnavailable):  # ping says it, and espm check, each with the reason
        classifier.sweep()
    return classifier


class BuiltinClassifier:
    """The adapter of the Classifier port; for any number of threads.

    :param directory: the ENC directory, prepared by :func:`espm.classifier.directory.prepare`.
    :param path: the groups file; nothing is read before :meth:`load`.
    :param environment: for nodes for which neither platform nor group names one.
    :param fallback: the ENC that was there before, if any.
    """

    def __init__(
        self,
        directory: Path,
        path: Path,
        *,
        environment: str = "production",
        fallback: Fallback | None = None,
    ) -> None:
        self._documents = Documents(directory)
        self._path = path
        self._environment = environment
        self._fallback = fallback
        self._groups: Mapping[str, Group] = {}
        self._lock = threading.Lock()
        self._recent = Recent()

    def groups(self) -> Sequence[Group]:
        """Return the groups of the groups file, ordered by name."""
        return sorted(self._groups.values(), key=lambda group: group.name)

    def resolve(self, classification: Classification) -> Catalogable:
        """Return groups and node merged, as the groups are now.

        :raises espm.errors.InvalidClassification: unknown groups, contradictions, or values
            that Puppet could not read.
        """
        catalogable = merge(classification, self._groups, self._environment)
        body(catalogable)
        return catalogable

    def knows(self, certname: Certname) -> bool:
        """Return whether the fallback ENC classifies *certname*."""
        return self._fallback is not None and self._fallback.knows(certname)

    def classify(self, node: Node) -> None:
        """Publish the node's document, unless a later one is in force.

        :raises espm.errors.InvalidClassification: as :meth:`resolve`.
        :raises espm.errors.BackendRefused: a later life of the name is in force.
        """
        with self._lock:
            changed = self._publish(node, self._groups)
            if not changed and self._documents.is_later(node.certname, node.generation):
                msg = (
                    "the ENC has a document of a later node of this name than the ledger knows; "
                    "the ledger may be an old copy: run 'espm check'"
                )
                raise BackendRefused(msg)
            self._recent.add(node)

    def withhold(self, node: Node) -> None:
        """Make the node's document a tombstone, unless a later generation's is in force."""
        with self._lock:
            self._recent.drop(node)
        # Without the lock: whatever a reload writes comes too late for a tombstone.
        self._documents.withhold(node.certname, _stamp(node, State.WITHHELD))

    def forget(self, *nodes: Node) -> None:
        """Remove the nodes' documents, unless they are later generations'."""
        with self._lock:
            for node in nodes:
                self._recent.drop(node)
        self._documents.forget(*((node.certname, node.generation) for node in nodes))

    def ping(self) -> None:
        """Return when the ENC directory is there and can be written."""
        self._documents.ping()

    def sweep(self) -> None:
        """Remove what writers left that were killed while they wrote."""
        self._documents.sweep()

    def load(self, check: Check | None = None) -> None:
        """Read the groups file at start; no document changes.

        :param check: see :meth:`reload`.
        :raises espm.errors.ConfigError: the file can't be read or is wrong (GroupsError).
        """
        groups = groups_file.read(self._path)
        fit.require(fit.unknown(groups, self._environment, check))
        self._groups = groups

    def reload(self, nodes: Iterable[Node], check: Check | None = None) -> Rebuilt:
        """Put the groups file in force anew and rewrite the documents that change by it.

        Where it raises GroupsError the old groups stay in force.  Where a document can't be
        written the new ones are in force but documents are behind; a repeat writes them.

        :param nodes: every live node of the ledger.  What was classified while they were
            read is known here and comes on top.
        :param check: called with what each group alone makes of a node; returns what Puppet
            does not have of it, one sentence each.
        :raises espm.errors.GroupsError: the file is wrong or does not fit the nodes.
        :raises espm.errors.ConfigError: the file can't be read.
        """
        groups = groups_file.read(self._path)
        # Puppet is asked before the lock is taken: nobody waits for it to classify a node.
        unknown = fit.unknown(groups, self._environment, check)
        with self._lock:
            live = self._recent.newest(nodes)
            fit.require([*unknown, *fit.misfits(groups, live.values(), self._environment)])
            self._groups = groups
            return self._rewrite(live, force=False)

    def misfits(self, nodes: Iterable[Node]) -> Sequence[str]:
        """See :meth:`espm.ports.enc.Reloadable.misfits`."""
        return fit.misfits(self._groups, nodes, self._environment)

    def rebuild(self, nodes: Iterable[Node]) -> Rebuilt:
        """Make the documents what the ledger says, also where they are later than it.

        For use while no daemon runs on this ledger: an active node gets its document, one
        that is being added or deleted only if there is one (recovery does the rest).

        :param nodes: every live node of the ledger.
        """
        with self._lock:
            self._documents.sweep()
            return self._rewrite({node.certname: node for node in nodes}, force=True)

    def orphans(self, nodes: Iterable[Node]) -> Orphans:
        """Return what of *nodes*, all live ones, and documents lacks its other half."""
        names = self._documents.names()
        strange, lacking = set(names), []
        for node in nodes:
            strange.discard(node.certname)
            if node.state is NodeState.ACTIVE and node.certname not in names:
                lacking.append(node.certname)
        return Orphans(tuple(lacking), tuple(sorted(strange)))

    def _rewrite(self, live: Mapping[Certname, Node], *, force: bool) -> Rebuilt:
        existing = self._documents.stamps()
        written = [
            name
            for name, node in live.items()
            if (name in existing or node.state is NodeState.ACTIVE)
            and self._publish(node, self._groups, force=force, new=False)
        ]
        return Rebuilt(tuple(written), tuple(name for name in existing if name not in live))

    def _publish(
        self, node: Node, groups: Mapping[str, Group], *, force: bool = False, new: bool = True
    ) -> bool:
        """Publish the node's document; see :meth:`Documents.publish` for *force* and *new*."""
        name = node.certname
        if node.state is NodeState.DELETING:
            return self._documents.withhold(name, _stamp(node, State.WITHHELD), force=force)
        content = body(merge(node.classification, groups, self._environment))
        stamp = _stamp(node, State.PRESENT)
        return self._documents.publish(name, stamp, content, force=force, new=new)


def _stamp(node: Node, state: State) -> Stamp:
    return Stamp(node.generation, node.version, state)
