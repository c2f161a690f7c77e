"""What we need of our own memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from espm.model import IntentKind
from espm.ports.replays import Replays

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from espm.model import (
        Backlog,
        Certificate,
        CertificateState,
        Certname,
        Classification,
        Intent,
        Issued,
        Job,
        Json,
        KeyMaker,
        Node,
        NodeState,
        OrderedKey,
        Revoked,
    )


class Ledger(Replays, Protocol):
    """What espm did and set out to do; the only durable truth of its own.

    What a method writes is one transaction, durable when it returns, and it raises
    :exc:`~espm.errors.BackendUnavailable` when the database is away, full or broken; then
    nothing of it happened.  States change by compare-and-swap.

    Open intents are *claimed* (a thread works on them) or *left*.  A claim that outlives its
    lease counts as left.
    """

    def reserve(
        self,
        certname: Certname,
        platform: str,
        classification: Classification,
        *,
        request_id: str,
        key: OrderedKey | None = None,
    ) -> tuple[Node, Intent]:
        """Begin the life of a node: a row in state adding with a claimed ADD intent.

        :param key: of the certificate that is ordered with it, noted as by :meth:`order`.
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
        undoes: Intent | None = None,
    ) -> Intent:
        """Open and claim an intent on a live node.

        :param undoes: a closed ADD or ISSUE that it takes back, for nobody was told that it was
            done; a request with its Idempotency-Key may run anew.

        CHANGE needs an active node with no claimed or left CHANGE; ISSUE and REVOKE need an
        active node with no claimed or left ISSUE or REVOKE.  DELETE needs a node without any
        claimed intent; it moves the node to deleting and closes every left intent as
        superseded by it.  A claimed REVOKE is not in its way, and superseded as well.

        :raises espm.errors.NodeBusy: an open intent or the node's state is in the way.
        :raises espm.errors.CertificateExists: an ISSUE, and the node has a certificate that is
            ordered, valid or being revoked: all that stand while it is open are of its order.
        :raises espm.errors.VersionMismatch: the node is not at *node*'s generation and version
            any more.
        """

    def begin_deletion(
        self, node: Node, *, request_id: str
    ) -> tuple[Intent, Sequence[Certificate]]:
        """:meth:`begin` a DELETE; return it, and the :meth:`certificates` to be settled.

        Those that come at the same time share a transaction, and none is in another's way.

        :raises espm.errors.NodeBusy: as :meth:`begin`.
        :raises espm.errors.VersionMismatch: as :meth:`begin`.
        """

    def condemn(self, intent: Intent) -> Node:
        """Move the node of a claimed ADD from adding to deleting.  Idempotent."""

    def activate(self, intent: Intent) -> Node:
        """Move the node of a claimed ADD from adding to active and close the intent."""

    def fulfil(self, node: Node, intent: Intent, issued: Issued) -> tuple[Node, Certificate]:
        """Do both at once: :meth:`record` what was ordered with a node, and :meth:`activate` it.

        :param node: as :meth:`reserve` returned it.
        """

    def decline(self, intent: Intent) -> None:
        """Make what is ordered under *intent* void: the CA did not take it.  Idempotent.

        It is not among what is :meth:`watched`.
        """

    def change(self, intent: Intent, classification: Classification, version: int) -> Node:
        """Give the node of a claimed CHANGE its classification and version; close the intent."""

    def close(self, intent: Intent) -> None:
        """Close a claimed intent whose last outside effect is done (or undone).  Idempotent."""

    def bury(self, *intents: Intent) -> None:
        """End the lives of nodes in deleting and close the intents, all or none.

        The node becomes deleted; under an ADD intent, undone.  Idempotent.
        """

    def leave(self, intent: Intent, error: str, *, delay: float = 0.0) -> None:
        """Give up the claim, keeping the intent open for a later attempt, with *error* on it.

        :param delay: seconds until it is due again, at most an hour.
        """

    def claim_left(
        self, node: Node, kinds: Collection[IntentKind] = tuple(IntentKind)
    ) -> Sequence[tuple[Node, Intent]]:
        """Claim every intent of *kinds* of *node* that is left, due or not, oldest first.

        Returns them with the node as it is now.
        """

    def claim_due(self, limit: int = 100) -> Sequence[tuple[Node, Intent]]:
        """Claim up to *limit* intents that are left and due, the longest due first.

        Returns them with their nodes.
        """

    def open_intent(self, node: Node, kinds: Collection[IntentKind]) -> Intent | None:
        """Return the oldest open intent of *kinds* of *node*, claimed or left, if any."""

    def is_closed(self, intent: Intent) -> bool:
        """Return whether *intent* was closed, by whomever and however."""

    def job(self, platform: str, ident: str) -> Job:
        """Return the intent *ident*, if it is about a node of *platform*, as a job.

        :raises espm.errors.JobUnknown: there is none.
        """

    def backlog(self) -> Backlog:
        """Return what is open, of all platforms."""

    def order(self, intent: Intent, key_sha256: str, key_maker: KeyMaker) -> Certificate:
        """Note the public key of a certificate before the CA hears of it.

        :raises espm.errors.CertificateExists: the node has one that is ordered, valid or being
            revoked.
        """

    def record(self, certificate: Certificate, issued: Issued) -> Certificate:
        """Note what the CA issued: ordered becomes valid."""

    def adopt(self, certificate: Certificate, issued: Issued) -> Certificate:
        """Note another certificate that the CA issued for the same key, as being revoked.

        Idempotent: there is one row for each serial.
        """

    def disown(self, intent: Intent, issued: Issued) -> Certificate | None:
        """Note a certificate that our call for the node of *intent* got for a key not ordered.

        It is noted as being revoked, so its end is seen to like that of any other, also where
        *intent* was closed by somebody else meanwhile.  Idempotent: there is one row for each
        serial.  Nobody needs to hold the claim: what was signed, was.

        :returns: None, and nothing is noted, where a certificate of that name and key is ordered or
            valid: the CSR that was signed is that order's, which is noted before the CA hears of
            it.
        """

    def mark(self, certificate: Certificate, state: CertificateState) -> Certificate:
        """Move a certificate on to *state*.  Idempotent; never backwards."""

    def mark_all(
        self, many: Sequence[Certificate], state: CertificateState
    ) -> Sequence[Certificate]:
        """:meth:`mark` all of them, or none; return them in their order."""

    def certificate(self, node: Node) -> Certificate | None:
        """Return the node's latest certificate that is not void, if any."""

    def certificates(self, node: Node) -> Sequence[Certificate]:
        """Return the node's certificates that are ordered, valid or being revoked."""

    def certificates_of(self, generations: Sequence[int]) -> Mapping[int, Sequence[Certificate]]:
        """Return as :meth:`certificates`, by generation, for each of several nodes."""

    def has_successor(self, certname: Certname, certificate: Certificate) -> bool:
        """Return whether another order of that name, with the same key, is ordered or valid.

        A node may hand in the same CSR again; what the CA holds is of that order then.
        """

    def all_certificates(self) -> Iterable[tuple[Certname, Certificate]]:
        """Return every certificate there ever was, by age, each with the name of its node."""

    def certificate_count(self) -> int:
        """Return how many certificates there ever were."""

    def platforms_of(self, certificates: Iterable[Certificate]) -> Mapping[int, str]:
        """Return the platforms whose *certificates* are or were, by generation."""

    def watched(self, seconds: float) -> Sequence[tuple[Certname, Certificate]]:
        """Return the certificates that are worth another look, each with the name of its node.

        These are those that were found void within the last *seconds*, and those that still
        stand although the life of their node is over.
        """

    def revoked(self, seconds: float) -> Revoked:
        """Return the certificates that were revoked within the last *seconds*."""

    def ping(self) -> None:
        """Return when the ledger can be written."""
