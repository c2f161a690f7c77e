"""What clients were told, and so what must be true: the model that espm is compared with.

An answer is a fact until somebody asks for something that may end it.  What was asked for and not
answered, or answered with a failure of a backend, is unsure until everything has come to its end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from espm.errors import BackendError, CertificateUnknown, NodeUnknown, VersionMismatch
from espm.model import CertificateState, Job, JobState, NodeState
from tests.stateful import sight

if TYPE_CHECKING:
    from espm.model import Classification, Node
    from espm.nodes import Accepted
    from espm.ordering import Delivery
    from tests.stateful.trouble import Outcome, Request
    from tests.stateful.world import World

Key = tuple[str, str]
"""A platform and a certname."""


@dataclass
class Life:
    """A node as its platform knows it.

    :ivar sure: what it was classified as last.
    :ivar exact: whether its entity tag is known: no change failed since.
    :ivar unsure: what it may be classified as instead, by request.
    :ivar ending: requests that may have begun to delete it.
    :ivar serial: of the certificate that the platform has.
    :ivar revoking: requests that may have begun to revoke it.
    :ivar issuing: whether it may have a certificate that nobody was told of.
    :ivar doomed: whether a deletion was accepted.
    """

    node: Node
    sure: Classification
    exact: bool = True
    unsure: dict[int, Classification] = field(default_factory=dict)
    ending: set[int] = field(default_factory=set)
    serial: int | None = None
    revoking: set[int] = field(default_factory=set)
    issuing: bool = False
    doomed: bool = False

    @property
    def stands(self) -> bool:
        """Whether the node must be there."""
        return not self.doomed and not self.ending

    @property
    def certified(self) -> int | None:
        """The serial that must be valid."""
        return self.serial if self.stands and not self.revoking else None


@dataclass
class Model:
    """All facts.

    :ivar lives: by platform and certname, those that may be there.
    :ivar unheard: additions that were never answered, and certnames and classifications of them.
    :ivar over: generations that are over for good.
    :ivar dead: serials that must be in the CRL for good.
    :ivar dying: serials that must be in the CRL once the jobs are over.
    :ivar jobs: what was promised to be done.
    :ivar renewed: by serial, the serial of the certificate that took its place.
    :ivar forgotten: serials that the CRL has lost since.
    :ivar theirs: by certname, the certificates of strangers that the CA holds.
    :ivar theirs_ever: all of them, also those that they removed.
    :ivar asking: by certname, their CSRs that wait.
    :ivar agents: by certname, the CSR that the node's own agent handed in last.
    """

    world: World
    lives: dict[Key, Life] = field(default_factory=dict)
    unheard: list[tuple[Key, Classification]] = field(default_factory=list)
    over: set[int] = field(default_factory=set)
    dead: set[int] = field(default_factory=set)
    dying: set[int] = field(default_factory=set)
    jobs: dict[str, str] = field(default_factory=dict)
    renewed: dict[int, int] = field(default_factory=dict)
    forgotten: set[int] = field(default_factory=set)
    theirs: dict[str, bytes] = field(default_factory=dict)
    theirs_ever: list[bytes] = field(default_factory=list)
    asking: dict[str, bytes] = field(default_factory=dict)
    agents: dict[str, bytes] = field(default_factory=dict)

    def flying(self) -> set[int]:
        """Return the requests that are not over."""
        return {request.number for request in self.world.held}

    def added(self, key: Key, wanted: Classification, outcome: Outcome) -> None:
        """Note how an addition ended."""
        if outcome.killed:
            self.unheard.append((key, wanted))
        elif outcome.error is None:
            accepted: Accepted = outcome.value
            standing = [each for other, each in self.lives.items() if other[1] == key[1]]
            assert not any(each.stands for each in standing), "two nodes of one name"
            self.unheard = [each for each in self.unheard if each[0] != key]
            life = self.lives[key] = Life(accepted.node, wanted)
            if accepted.delivery is not None:
                self._certified(life, accepted.delivery)
            assert sight.says(self.world, accepted.node), "not in force when it was answered"

    def changed(self, key: Key, wanted: Classification, request: Request, outcome: Outcome) -> None:
        """Note how a change ended, which had been noted as unsure."""
        life, token = self.lives.get(key), request.number
        if outcome.error is None and not outcome.killed:
            node: Node = outcome.value.node
            if life is None:
                life = self.lives[key] = Life(node, wanted)
            assert node.version > life.node.version or life.node is node, "no new version"
            assert sight.says(self.world, node), "not in force when it was answered"
            life.node, life.sure, life.exact = node, wanted, True
            flying = self.flying()
            life.unsure = {each: what for each, what in life.unsure.items() if each in flying}
        elif life is not None:
            life.exact = False
            self._unknown_only_if_gone(life, outcome)
            if outcome.error is not None and not request.aged and request.struck != "ledger.change":
                life.unsure.pop(token, None)

    def deleted(self, key: Key, request: Request, outcome: Outcome) -> None:
        """Note how a deletion ended, which had been noted as possible."""
        life, token = self.lives.get(key), request.number
        if outcome.error is None and not outcome.killed:
            self._promised(key, life, outcome.value)
        elif life is not None:
            life.ending.discard(token)
            self._unknown_only_if_gone(life, outcome)
            if request.aged or outcome.killed or isinstance(outcome.error, BackendError):
                life.ending.add(token)

    def _promised(self, key: Key, life: Life | None, job: Job | None) -> None:
        if job is not None:
            self.jobs[job.intent.ident] = key[0]
            if life is not None:
                life.doomed = True
                self.dying |= sight.serials_of(self.world, life.node.generation, self.renewed)
            return
        self.unheard = [each for each in self.unheard if each[0] != key]
        if life is not None:
            self._is_over(self.lives.pop(key))

    def _is_over(self, life: Life) -> None:
        self.over.add(life.node.generation)
        self.dead |= sight.serials_of(self.world, life.node.generation, self.renewed)

    def issued(self, key: Key, outcome: Outcome, *, own: bool) -> None:
        """Note how an issue ended.

        :param own: whether the node made the key: then a certificate may stay after a failure.
        """
        life = self.lives.get(key)
        if life is None:
            return
        if outcome.error is None and not outcome.killed:
            self._certified(life, outcome.value)
        life.issuing |= outcome.killed or (own and isinstance(outcome.error, BackendError))
        self._unknown_only_if_gone(life, outcome)

    def _certified(self, life: Life, delivery: Delivery) -> None:
        assert life.certified is None, "a second certificate"
        assert delivery.certificate.issued is not None
        life.serial = delivery.certificate.issued.serial
        life.revoking &= self.flying()
        life.issuing = False

    def revoked(self, key: Key, request: Request, outcome: Outcome) -> None:
        """Note how a revocation ended, which had been noted as possible."""
        life, token = self.lives.get(key), request.number
        if life is None:
            return
        if outcome.error is None and not outcome.killed:
            if outcome.value is None:
                self.dead |= sight.serials_of(self.world, life.node.generation, self.renewed)
                life.serial, life.issuing = None, False
            else:
                self.jobs[outcome.value.intent.ident] = key[0]
                self.dying |= sight.serials_of(self.world, life.node.generation, self.renewed)
            return
        if outcome.error is not None and not isinstance(outcome.error, BackendError):
            life.revoking.discard(token)
        self._unknown_only_if_gone(life, outcome)
        if isinstance(outcome.error, CertificateUnknown):
            assert life.certified is None, "the certificate is not known any more"

    def _unknown_only_if_gone(self, life: Life, outcome: Outcome) -> None:
        if isinstance(outcome.error, NodeUnknown):
            assert not life.stands, "the node is not known any more"

    def matched(self, key: Key, etags: tuple[str, ...], request: Request, outcome: Outcome) -> None:
        """Compare what If-Match led to with what is known of the node."""
        life = self.lives.get(key)
        if life is None or not etags or request.is_held or not life.exact:
            return
        if life.doomed or (life.ending | set(life.unsure)) - {request.number}:
            return
        if isinstance(outcome.error, VersionMismatch):
            assert life.node.etag not in etags, "the right entity tag was refused"
        elif outcome.error is None and not outcome.killed:
            assert life.node.etag in etags, "a wrong entity tag was accepted"

    def settle(self) -> None:
        """Compare everything with what is there, when nothing is under way; nothing is unsure."""
        for ident, platform in self.jobs.items():
            job = self.world.ledger.job(platform, ident)
            assert job.state.is_over, f"a job is not over: {job}"
            assert job.intent.kind != "delete" or job.state is JobState.DONE
        self.dead |= self.dying
        assert self.dead <= self.world.ca.revoked, "not revoked, though it was promised"
        rows = {(node.platform, str(node.certname)): node for node in self.world.ledger.nodes()}
        for key, life in list(self.lives.items()):
            node = rows.pop(key, None)
            if node is None or node.generation != life.node.generation:
                assert not life.stands, f"{key} is gone"
                self._is_over(self.lives.pop(key))
                if node is not None:
                    rows[key] = node
            else:
                self._settle(life, node)
        for key, node in rows.items():
            assert (key, node.classification) in self.unheard, f"nobody was told of {node}"
            life = self.lives[key] = Life(node, node.classification, issuing=True)
            self._settle(life, node)
        self.unheard.clear()

    def _settle(self, life: Life, node: Node) -> None:
        assert node.state is NodeState.ACTIVE, f"{node} is not settled"
        assert not life.doomed, f"{node} was to be deleted"
        assert node.classification in (life.sure, *life.unsure.values()), f"{node} is changed"
        assert node.version >= life.node.version
        standing = self.world.ledger.certificates(node)
        assert all(each.state is CertificateState.VALID for each in standing)
        serials = [each.issued.serial for each in standing if each.issued is not None]
        certified, loose = life.serial, life.issuing or life.revoking
        assert loose or serials == [certified] * (certified is not None), (serials, certified)
        life.node, life.sure, life.unsure, life.exact = node, node.classification, {}, True
        life.ending, life.revoking, life.issuing = set(), set(), False
        life.serial = serials[0] if serials else None
