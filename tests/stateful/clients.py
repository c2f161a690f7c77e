"""Clients: each asks for something, and the model hears how it was answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import note

from espm import certificates, nodes, x509
from espm.errors import BackendError, NodeUnknown
from espm.model import Certname, Classification
from espm.ordering import Order
from tests.stateful.trouble import Outcome, Request, Trouble
from tests.stateful.world import PLATFORMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from espm.ports import Ports
    from tests.stateful.model import Key, Model
    from tests.stateful.world import World

NAMES = [Certname("a.example.com"), Certname("b.example.com")]
BY_NAME = {platform.name: platform for platform in PLATFORMS}
WANTED = {
    "bare": Classification(),
    "web": Classification(groups=("web",), parameters={"rack": 1}),
    "staged": Classification(environment="staging", classes={"ntp": {"ensure": "latest"}}),
}
ORDERS = ["espm's key", "own key", "second own key", "pending"]
MATCHES = ["any", "right", "old"]

#: The CSRs of the keys that nodes make, which they may hand in again and again.
CSRS = {name: [x509.new_csr(name, x509.new_key()) for _ in range(2)] for name in NAMES}


@dataclass
class Clients:
    """All clients of all platforms.

    :ivar again: what was not answered well, to be asked for once more.
    """

    world: World
    model: Model
    again: list[Callable[[], object]] = field(default_factory=list)
    _etags: dict[Key, list[str]] = field(default_factory=dict)

    def add(self, key: Key, what: str, order: str | None, trouble: Trouble | None = None) -> None:
        """Add a node."""
        (platform, name), wish = named(key), self._order(key[1], order)

        def work(ports: Ports) -> object:
            wanted = WANTED[what]
            return nodes.add_node(platform, name, wanted, ports, order=wish, request_id="add")

        def answered(_: Request, outcome: Outcome) -> None:
            self.model.added(key, WANTED[what], outcome)
            self._repeat(outcome, lambda: self.add(key, what, order))

        self._begin(_request(f"add {key} {order}", work, trouble, answered))

    def put(self, key: Key, what: str, match: str, trouble: Trouble | None = None) -> None:
        """Change a node."""
        (platform, name), etags = named(key), self._match(key, match)

        def work(ports: Ports) -> object:
            wanted = WANTED[what]
            return nodes.change_node(
                platform, name, wanted, ports, if_match=etags, request_id="put"
            )

        def answered(request: Request, outcome: Outcome) -> None:
            self.model.matched(key, etags, request, outcome)
            self.model.changed(key, WANTED[what], request, outcome)
            self._repeat(outcome, lambda: self.put(key, what, "any"))

        request = _request(f"put {key} {match}", work, trouble, answered)
        if key in self.model.lives:
            self.model.lives[key].unsure[request.number] = WANTED[what]
        self._begin(request)

    def delete(self, key: Key, match: str, patience: float, trouble: Trouble | None = None) -> None:
        """Delete a node."""
        (platform, name), etags = named(key), self._match(key, match)

        def work(ports: Ports) -> object:
            return nodes.delete_node(
                platform, name, ports, if_match=etags, request_id="del", patience=patience
            )

        def answered(request: Request, outcome: Outcome) -> None:
            self.model.matched(key, etags, request, outcome)
            self.model.deleted(key, request, outcome)
            self._repeat(outcome, lambda: self.delete(key, "any", patience))

        request = _request(f"delete {key} {match}", work, trouble, answered)
        if key in self.model.lives:
            self.model.lives[key].ending.add(request.number)
        self._begin(request)

    def issue(self, key: Key, order: str, trouble: Trouble | None = None) -> None:
        """Ask for a certificate."""
        (platform, name), wish = named(key), self._order(key[1], order)
        assert wish is not None

        def work(ports: Ports) -> object:
            return certificates.issue(platform, name, wish, ports, request_id="issue")

        def answered(_: Request, outcome: Outcome) -> None:
            self.model.issued(key, outcome, own=order != ORDERS[0])
            self._repeat(outcome, lambda: self.issue(key, order))

        self._begin(_request(f"issue {key} {order}", work, trouble, answered))

    def revoke(self, key: Key, patience: float, trouble: Trouble | None = None) -> None:
        """Have a certificate revoked."""
        platform, name = named(key)

        def work(ports: Ports) -> object:
            return certificates.revoke(platform, name, ports, request_id="rev", patience=patience)

        def answered(request: Request, outcome: Outcome) -> None:
            self.model.revoked(key, request, outcome)
            self._repeat(outcome, lambda: self.revoke(key, patience))

        request = _request(f"revoke {key}", work, trouble, answered)
        if key in self.model.lives:
            self.model.lives[key].revoking.add(request.number)
        self._begin(request)

    def work(self, trouble: Trouble | None = None) -> None:
        """Let the revoker carry on one batch; only a ledger that is away can stop it."""
        revoker = self.world.revoker

        def answered(request: Request, outcome: Outcome) -> None:
            stopped = (request.struck or "").startswith("ledger.") or request.aged
            assert stopped or outcome.error is None, f"a batch was abandoned: {outcome.error!r}"

        self._begin(_request("work", lambda _: revoker.work(), trouble, answered))

    def go_on(self, which: int) -> None:
        """Let one of the requests that were held up run to its end."""
        request = self.world.held[which % len(self.world.held)]
        self.world.go_on(request)
        note(f"    {request}")

    def _begin(self, request: Request) -> None:
        self.world.begin(request)
        note(f"    {request}")

    def _repeat(self, outcome: Outcome, ask: Callable[[], object]) -> None:
        if outcome.killed or isinstance(outcome.error, BackendError):
            self.again.append(ask)

    def _order(self, name: str, kind: str | None) -> Order | None:
        """Return what is ordered, or None."""
        own = CSRS[Certname(name)]
        if kind == "pending":
            waiting = self.model.agents.get(name, own[0])
            return Order(sign_pending=x509.csr_der_sha256(waiting))
        csrs = {"espm's key": None, "own key": own[0], "second own key": own[1]}
        return None if kind is None else Order(csr=csrs[kind])

    def _match(self, key: Key, kind: str) -> tuple[str, ...]:
        """Return entity tags for If-Match."""
        try:
            now = self.world.ledger.node(*named_only(key)).etag
        except NodeUnknown:
            return ()
        seen = self._etags.setdefault(key, [])
        seen += [now] * (now not in seen)
        old = seen[:-1][-1:] or ['"0.0"']
        return {"any": (), "right": (now,), "old": tuple(old)}[kind]


def named(key: Key) -> tuple[Any, Certname]:
    """Return the platform and the certname of a key."""
    return BY_NAME[key[0]], Certname(key[1])


def named_only(key: Key) -> tuple[str, Certname]:
    """Return the platform's name and the certname of a key."""
    return key[0], Certname(key[1])


def _request(
    name: str,
    work: Callable[[Ports], object],
    trouble: Trouble | None,
    answered: Callable[[Request, Outcome], object],
) -> Request:
    request = Request(name, work, trouble)
    request.answered = lambda outcome: answered(request, outcome)
    return request
