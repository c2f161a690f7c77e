"""What espm's use cases need from outside, as Protocols; adapters fulfil them.

Each says what it raises, what is idempotent and what is guaranteed.  One suite of contract
tests (``tests/contract``) holds every adapter and every double to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from espm.model import IntentKind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from espm.model import (
        Catalogable,
        Catalogue,
        Certificate,
        CertificateState,
        Certname,
        Classification,
        Group,
        Intent,
        Issued,
        Json,
        KeyMaker,
        Node,
        NodeState,
    )


class CertificateAuthority(Protocol):
    """The Puppet CA, whichever way we reach it.

    Every method raises :exc:`~espm.errors.BackendUnavailable` when the CA does not answer in
    time or not sensibly, and :exc:`~espm.errors.BackendRefused` when it says no; other errors
    are named where they occur.  PEM is bytes.
    """

    def version(self) -> str:
        """Return the version of the server that runs the CA, for example ``7.9.5``."""

    def certificate(self, certname: Certname) -> bytes | None:
        """Return the certificate the CA holds for *certname*, valid or revoked, if any."""

    def request(self, certname: Certname) -> bytes | None:
        """Return the CSR of *certname* that waits at the CA, if any."""

    def submit(self, certname: Certname, csr: bytes) -> None:
        """Hand in *csr* as an agent would.

        :raises espm.errors.CsrPending: a CSR of that name waits already.
        :raises espm.errors.CertnameTaken: the CA holds a certificate of that name.
        """

    def sign(self, certname: Certname) -> bytes:
        """Have the CSR that waits signed and return the certificate.

        Fine when the CA has signed it meanwhile (autosign).

        :raises espm.errors.CsrUnknown: no CSR waits and no certificate exists.
        """

    def withdraw(self, certname: Certname) -> None:
        """Remove the CSR of *certname* that waits.  Idempotent.

        Call it only when the CA holds no certificate of that name.
        """

    def revoke(self, certname: Certname) -> None:
        """Revoke the certificate the CA holds for *certname*; the file stays.

        Idempotent; fine when there is none.  Says nothing about the CRL: look there.
        """

    def clean(self, certname: Certname) -> None:
        """Remove certificate and CSR of *certname* from the CA, so that the name is free.

        Idempotent.  Call it only after the revocation was seen in the CRL.
        """

    def crl(self) -> bytes:
        """Return the CRLs (concatenated PEM) that nodes and servers are given."""

    def bundle(self) -> bytes:
        """Return the CA certificates (concatenated PEM) that a node must trust."""


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

        Idempotent; does nothing when a later generation or version, or the withholding of this
        generation, is in force.
        """

    def withhold(self, node: Node) -> None:
        """Make Puppet refuse every catalog of the node.  Idempotent; nothing brings it back."""

    def forget(self, node: Node) -> None:
        """Take away all that was said of the node.  Idempotent; spares later generations."""

    def ping(self) -> None:
        """Return when the ENC can be written."""


@runtime_checkable
class Reloadable(Protocol):
    """A classifier whose groups come from a file of ours."""

    def reload(
        self, nodes: Iterable[Node], check: Callable[[Catalogable], Sequence[str]] | None
    ) -> None:
        """Read the groups anew and write the documents of *nodes* that change.

        :param check: says what Puppet does not have of what a group makes of a node.
        :raises espm.errors.GroupsError: all that is wrong; the old groups stay in force.
        """


class Rebuilt(Protocol):
    """What a rebuild did, as certnames.

    :ivar written: documents that were not as the ledger says.
    :ivar orphans: documents that no live node explains; they are still there.
    """

    @property
    def written(self) -> Sequence[str]: ...  # noqa: D102 - the class says it

    @property
    def orphans(self) -> Sequence[str]: ...  # noqa: D102 - the class says it


@runtime_checkable
class Rebuildable(Protocol):
    """A classifier that keeps documents which the ledger can make anew."""

    def rebuild(self, nodes: Iterable[Node]) -> Rebuilt:
        """Write the documents of *nodes* where they differ; report those of nobody."""


class ClassCatalogue(Protocol):
    """The classes that Puppet has."""

    def classes(self, environment: str, *, max_age: float | None = None) -> Catalogue:
        """Return the classes of *environment*, at most *max_age* seconds old.

        None leaves the age to the configuration; 0 looks afresh.

        :raises espm.errors.EnvironmentUnknown: Puppet has no such environment.
        :raises espm.errors.BackendUnavailable: Puppet can't be asked.
        """


class Ledger(Protocol):
    """What espm did and set out to do; the only durable truth of its own.

    Every method is one transaction, durable when it returns, and raises
    :exc:`~espm.errors.BackendUnavailable` when the database is away, full or broken; then
    nothing of it happened.  States change by compare-and-swap.

    Open intents are *claimed* (a thread works on them) or *left*.  A claim that outlives its
    lease counts as left.
    """

    def reserve(
        self, certname: Certname, platform: str, classification: Classification, *, request_id: str
    ) -> tuple[Node, Intent]:
        """Begin the life of a node: a row in state adding with a claimed ADD intent.

        :raises espm.errors.CertnameTaken: a live node of that name exists.
        :raises espm.errors.NodeBusy: the *same* platform's node of that name is being deleted.
        """

    def node(self, platform: str, certname: Certname) -> Node:
        """Return the platform's live node of that name (adding, active or deleting).

        :raises espm.errors.NodeUnknown: it has none.
        """

    def was_deleted(self, platform: str, certname: Certname) -> bool:
        """Return whether the platform's last finished life of that name ended as deleted."""

    def page(
        self, platform: str, *, state: NodeState | None, after: Certname | None, limit: int
    ) -> Sequence[Node]:
        """Return up to *limit* live nodes of the platform, by name, behind *after*."""

    def nodes(self) -> Iterable[Node]:
        """Return every live node of every platform."""

    def begin(
        self,
        node: Node,
        kind: IntentKind,
        payload: Mapping[str, Json] | None = None,
        *,
        request_id: str,
    ) -> Intent:
        """Open and claim an intent on a live node.

        CHANGE needs an active node with no claimed or left CHANGE; ISSUE and REVOKE need an
        active node with no claimed or left ISSUE or REVOKE.  DELETE needs a node without any
        claimed intent; it moves the node to deleting and closes every left intent as
        superseded by it.

        :raises espm.errors.NodeBusy: an open intent or the node's state is in the way.
        :raises espm.errors.VersionMismatch: the node is not at *node*'s generation and version
            any more.
        """

    def condemn(self, intent: Intent) -> Node:
        """Move the node of a claimed ADD from adding to deleting.  Idempotent."""

    def activate(self, intent: Intent) -> Node:
        """Move the node of a claimed ADD from adding to active and close the intent."""

    def change(self, intent: Intent, classification: Classification, version: int) -> Node:
        """Give the node of a claimed CHANGE its classification and version; close the intent."""

    def close(self, intent: Intent) -> None:
        """Close a claimed intent whose last outside effect is done (or undone).  Idempotent."""

    def bury(self, intent: Intent) -> None:
        """End the life of a node in deleting and close the intent.

        The node becomes deleted; under an ADD intent, undone.  Idempotent.
        """

    def leave(self, intent: Intent, error: str) -> None:
        """Give up the claim, keeping the intent open for a later attempt, with *error* on it."""

    def claim_left(
        self, node: Node | None = None, kinds: Collection[IntentKind] = tuple(IntentKind)
    ) -> Sequence[tuple[Node, Intent]]:
        """Claim every intent of *kinds* that is left (of *node* only, if given), oldest first.

        Returns them with their nodes.
        """

    def order(self, intent: Intent, key_sha256: str, key_maker: KeyMaker) -> Certificate:
        """Note the public key of a certificate before the CA hears of it.

        :raises espm.errors.CertificateExists: the node has one that is ordered, valid or being
            revoked.
        """

    def record(self, certificate: Certificate, issued: Issued) -> Certificate:
        """Note what the CA issued: ordered becomes valid."""

    def mark(self, certificate: Certificate, state: CertificateState) -> Certificate:
        """Move a certificate on to *state*.  Idempotent; never backwards."""

    def certificate(self, node: Node) -> Certificate | None:
        """Return the node's latest certificate that is not void, if any."""

    def certificates(self, node: Node) -> Sequence[Certificate]:
        """Return the node's certificates that are ordered, valid or being revoked."""

    def ping(self) -> None:
        """Return when the ledger can be written."""


@dataclass(frozen=True, slots=True)
class Ports:
    """All that the use cases need from outside.

    :ivar reserved: certnames that are never a node's: the servers' and espm's own.
    :ivar check_classes: whether unknown classes and parameters are refused.
    :ivar key_type: ``ec`` or ``rsa``, for the keys that espm makes.
    """

    ledger: Ledger
    classifier: Classifier
    catalogue: ClassCatalogue
    ca: CertificateAuthority
    reserved: frozenset[str] = frozenset()
    check_classes: bool = True
    key_type: str = "ec"
