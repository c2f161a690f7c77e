"""The dashboard of Puppet Enterprise 2.x and 3.x as the ENC, told by its rake tasks.

The tasks can add a node, replace its groups and its classes, and add parameters; none reads
anything of a node back, and none takes a parameter away.  So what this process told is
remembered (:mod:`espm.classifier.dashboard_lives`), a change that the tasks cannot make in place
is made by removing the node and adding it anew, and the ENC is asked whether it came out right.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from espm.classifier.dashboard_enc import DashboardEnc
from espm.classifier.dashboard_lives import Life, Lives, State
from espm.classifier.dashboard_nodes import DashboardNodes
from espm.classifier.dashboard_offer import Offer
from espm.classifier.dashboard_values import Said
from espm.errors import (
    BackendRefused,
    BackendUnavailable,
    CertnameTaken,
    ConfigError,
    InvalidCertname,
)
from espm.host import HOST_SPEC
from espm.host import connect as connect_host
from espm.model import Catalogable, Group
from espm.names import class_fault, environment_fault
from espm.rake import Outcome, Rake, folded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from espm.model import Certname, Classification, Node, PuppetAccess
    from espm.ports.host import Host

SPEC = f"""
# Environment that all nodes of the dashboard are in; platforms may name no other.
environment = string(default="production")
# Class that the dashboard has and Puppet's code has not: given to a node that is being deleted, so
# that it gets no more catalogs.
withheld_class = string(default="espm_withheld")
{HOST_SPEC}"""

#: The lines of ``espm check`` that are about it.
CHECKS = ("old tools", "dashboard", "external_node", "withheld class")

#: What platforms may say of a node; parameters only where the dashboard has the task.
CAN = ("groups", "classes", "parameters")


def connect(options: Mapping[str, Any], access: PuppetAccess) -> DashboardClassifier:  # noqa: ARG001 -- every backend is connected alike
    """Return the dashboard that the section *options* describes.  Nothing is started yet.

    :raises espm.errors.ConfigError: environment, class or host are wrong.
    """
    wrong = (environment_fault(options["environment"]), class_fault(options["withheld_class"]))
    if faults := [f"[dashboard] {fault}" for fault in wrong if fault]:
        raise ConfigError(faults)
    return DashboardClassifier(connect_host(options), options)


class DashboardClassifier:
    """The adapter of the Classifier port; for any number of threads.

    :param options: the keys of ``[classifier]`` and ``[dashboard]``.
    """

    def __init__(self, host: Host, options: Mapping[str, Any]) -> None:
        self._host = host
        self._timeout: float = options["command_timeout"]
        self._rake = Rake(host, self._timeout)
        self._enc = DashboardEnc(host, self._timeout)
        self._offer = Offer(
            self._rake,
            options["environment"],
            options["withheld_class"],
            options["classes_cache"],
        )
        self._nodes = DashboardNodes(self._rake, self._enc)
        self._lives = Lives()
        self._lock = threading.Lock()

    def groups(self) -> Sequence[Group]:
        """Return the names of the dashboard's groups in order; no task tells more of them."""
        return [Group(name) for name in self._offer.groups()]

    def resolve(self, classification: Classification) -> Catalogable:
        """Return what the node itself is given; what its groups add only the ENC knows.

        :raises espm.errors.InvalidClassification: what the dashboard does not know, or its
            tasks cannot carry.
        """
        said = self._offer.said(classification)
        classes: dict[str, dict[str, Any]] = {folded(name): {} for name in said.classes}
        return Catalogable(self._offer.environment, classes, said.parameters)

    def knows(self, certname: Certname) -> bool:
        """Return whether the dashboard has a node of that name, in any case, that is not ours.

        :raises espm.errors.InvalidCertname: the helper lets no such name through.
        """
        if certname.startswith("_"):
            msg = f"'{certname}': a node of the dashboard has a name that begins with a-z or 0-9"
            raise InvalidCertname(msg)
        with self._lock:
            life = self._lives.get(certname)
        if life is not None and life.is_ours:
            return False
        # A regular expression of Ruby's, which sees the case of letters unless told otherwise.
        pattern = certname.replace(".", r"\.")
        found = self._rake.names("node:list", match=f"(?i:^{pattern}$)")
        return any(folded(name) == certname for name in found)

    def classify(self, node: Node) -> None:
        """Tell the dashboard of the node, unless a later version is in force.

        :raises espm.errors.InvalidClassification: as :meth:`resolve`, or the node's groups
            contradict each other.
        :raises espm.errors.CertnameTaken: somebody else has just added a node of that name.
        :raises espm.errors.BackendRefused: a later life of the name is in force, or the tasks
            did not do what they said.
        """
        with self._lock:
            life = self._lives.get(node.certname)
            if life is not None and life.generation > node.generation:
                msg = (
                    "the dashboard was told of a later node of this name than the ledger knows; "
                    "the ledger may be an old copy: run 'espm check'"
                )
                raise BackendRefused(msg)
            if life is None or not life.covers(node):
                self._tell(node, life)

    def withhold(self, node: Node) -> None:
        """Give the node nothing but a class that Puppet does not have, so that it is refused.

        Where the dashboard lacks that class, the node is given nothing at all.
        """
        with self._lock:
            life = self._lives.get(node.certname)
            if life is not None and life.outlasts(node):
                return
            refusing = Said((), self._offer.refusing(), {})
            there = self._nodes.withhold(node.certname, refusing)
            if self._nodes.is_lost(node.certname, refusing):
                self._offer.expire()
                msg = "the dashboard dropped the class that withholds catalogs; try again"
                raise BackendUnavailable(msg)
            parameters = life.parameters if life and there else None
            self._remember(node, State.WITHHELD, parameters)

    def forget(self, *nodes: Node) -> None:
        """Remove the nodes from the dashboard, unless they are somebody else's or later ones."""
        for node in nodes:
            with self._lock:
                self._forget(node)

    def _forget(self, node: Node) -> None:
        life = self._lives.get(node.certname)
        if life is not None and (life.generation > node.generation or not life.is_ours):
            return
        self._nodes.remove(node.certname)
        self._remember(node, State.FORGOTTEN)

    def ping(self) -> None:
        """Return when the dashboard's programs are there."""
        if self._host.call("ping", "dashboard", timeout=self._timeout).status:
            msg = "the dashboard's programs are not there, or espm_tools is older than espm"
            raise BackendUnavailable(msg)

    def _tell(self, node: Node, life: Life | None) -> None:
        """Bring *node* into force; what is begun and fails stays ours, to be forgotten."""
        said = self._offer.said(node.classification)
        ours = life is not None and life.is_ours
        # A first version is of a node that nobody had; later ones are of the ledger's.
        if node.version > 1 or ours:
            self._remember(replace(node, version=0), State.OURS)
            self._nodes.change(node.certname, said, life.parameters if life and ours else None)
        else:
            self._add(node, said)
        self._verify(node.certname, said)
        self._remember(node, State.OURS, said.parameters)

    def _add(self, node: Node, said: Said) -> None:
        self._remember(replace(node, version=0), State.OURS)
        if self._nodes.add(node.certname, said) is Outcome.EXISTS:
            self._remember(node, State.FOREIGN)
            msg = f"the name {node.certname} is taken; choose another"
            raise CertnameTaken(msg)

    def _verify(self, certname: Certname, said: Said) -> None:
        """Look whether Puppet is told what the tasks were: they drop what they do not know."""
        told = self._enc.told(certname)
        lost = self._offer.lost(said, classes=told is None)
        if told is not None:
            lost += told.differences(said)
        if lost:
            msg = f"the dashboard did not take over what it was told: {'; '.join(lost)}"
            raise BackendRefused(msg)

    def _remember(
        self, node: Node, state: State, parameters: Mapping[str, str] | None = None
    ) -> None:
        life = Life(node.generation, node.version, state, parameters)
        self._lives.put(node.certname, life)
