"""Clients, Puppet's CA, strangers, time and crashes, in any order.

Hypothesis chooses what happens and where it is held up; :mod:`tests.stateful.model` knows what was
told to whom, and :mod:`tests.stateful.sight` compares.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.stateful import sight
from tests.stateful.clients import MATCHES, NAMES, ORDERS, WANTED, Clients
from tests.stateful.model import Key, Model
from tests.stateful.strangers import Strangers
from tests.stateful.trouble import Kind, Trouble
from tests.stateful.world import LEASE, World

which = st.integers(0, 3)
names = st.sampled_from(NAMES)
# Mostly the same platform: what the other does to the same name is refused.
platforms = st.sampled_from(["cloud", "cloud", "cloud", "other"])
whats = st.sampled_from(list(WANTED))
orders = st.sampled_from(ORDERS)
matches = st.sampled_from(["any", *MATCHES])
patiences = st.sampled_from([0.0, 1.0])
troubles = st.none() | st.builds(Trouble, st.sampled_from(Kind), st.integers(0, 20))


def lives(machine: Espm) -> bool:
    """Return whether there may be a node."""
    return bool(machine.model.lives)


class Espm(RuleBasedStateMachine):
    """Clients, the CA, strangers, time and crashes."""

    whole = True

    @initialize(
        at_once=st.booleans(),
        heals=st.booleans(),
        patience=patiences,
        order=st.none() | orders,
    )
    def start(self, *, at_once: bool, heals: bool, patience: float, order: str | None) -> None:
        """Start with one node, with one kind of CA and one kind of carrier."""
        self.world = World(at_once=at_once)
        self.world.pace("carrying.PATIENCE", patience)
        self.world.ca.heals = heals
        self.model = Model(self.world)
        self.clients = Clients(self.world, self.model)
        self.strangers = Strangers(self.world, self.model)
        self.clients.add(("cloud", NAMES[0]), "bare", order)

    def some(self, which: int) -> Key:
        """Return the platform and certname of a node that may be there."""
        keys = list(self.model.lives)
        return keys[which % len(keys)]

    # What clients ask for.

    @rule(platform=platforms, name=names, what=whats, order=st.none() | orders, trouble=troubles)
    def add(
        self, platform: str, name: str, what: str, order: str | None, trouble: Trouble | None
    ) -> None:
        """Add a node."""
        self.clients.add((platform, name), what, order, trouble)

    @precondition(lives)
    @rule(which=which, what=whats, match=matches, trouble=troubles)
    def put(self, which: int, what: str, match: str, trouble: Trouble | None) -> None:
        """Change a node."""
        self.clients.put(self.some(which), what, match, trouble)

    @precondition(lives)
    @rule(which=which, match=matches, patience=patiences, trouble=troubles)
    def delete(self, which: int, match: str, patience: float, trouble: Trouble | None) -> None:
        """Delete a node."""
        self.clients.delete(self.some(which), match, patience, trouble)

    @precondition(lives)
    @rule(which=which, order=orders, trouble=troubles)
    def issue(self, which: int, order: str, trouble: Trouble | None) -> None:
        """Ask for a certificate of a node."""
        self.clients.issue(self.some(which), order, trouble)

    @precondition(lives)
    @rule(which=which, patience=patiences, trouble=troubles)
    def revoke(self, which: int, patience: float, trouble: Trouble | None) -> None:
        """Have a certificate revoked."""
        self.clients.revoke(self.some(which), patience, trouble)

    @precondition(lambda self: self.clients.again)
    @rule(which=which)
    def ask_again(self, which: int) -> None:
        """Ask once more for what was not answered well."""
        again = self.clients.again
        again.pop(which % len(again))()

    @rule(platform=platforms, name=names)
    def meddle(self, platform: str, name: str) -> None:
        """Delete what is not there, or somebody else's."""
        self.clients.delete((platform, name), "any", 0.0)

    # What espm does by itself, and what happens to it.

    @precondition(lambda self: not self.world.revoker.busy)
    @rule(trouble=troubles)
    def work(self, trouble: Trouble | None) -> None:
        """Let the revoker carry on one batch, and look again at what was settled."""
        self.clients.work(trouble)

    @precondition(lambda self: self.world.held)
    @rule(which=which)
    def go_on(self, which: int) -> None:
        """Let a request that was held up run to its end."""
        self.clients.go_on(which)

    @rule()
    def crash(self) -> None:
        """Kill espm, and start it anew."""
        self.world.crash()

    # What the CRL has lost is found within seconds, unless the CA is away.
    @precondition(lambda self: not self.model.forgotten)
    @rule()
    def time_passes(self) -> None:
        """What the CA had heard is done long before the lease of a claim is over."""
        self.world.ca.catch_up()
        self.world.pass_time(LEASE)
        if not self.world.revoker.busy:
            self.clients.work()

    @precondition(lambda self: self.world.ledger.backlog().waiting)
    @rule()
    def due(self) -> None:
        """What was left is tried again the next time."""
        self.world.ledger.orphan()

    @rule()
    def calm(self) -> None:
        """Everything comes to its end, and nothing is left over."""
        self.world.calm()
        self.model.forgotten.clear()
        sight.check_facts(self.world, self.model)
        self.model.settle()
        sight.check_calm(self.world, self.model)

    # What the CA and strangers do.

    @precondition(lambda self: self.world.ca.away)
    @rule()
    def ca_is_back(self) -> None:
        """The CA answers again."""
        self.world.ca.away = False

    @precondition(lambda self: self.world.ca.is_behind)
    @rule()
    def ca_catches_up(self) -> None:
        """The CA does what it had heard and not answered."""
        self.world.ca.catch_up()

    @precondition(lambda self: not self.model.asking)
    @rule(signs=st.booleans())
    def autosign(self, *, signs: bool) -> None:
        """Sign whatever is handed in, or not any more."""
        self.world.ca.autosign = signs

    @precondition(lambda self: self.world.ca.heals)
    @rule(loses=st.booleans())
    def clean_loses(self, *, loses: bool) -> None:
        """Lose what is revoked by clean from now on, or not any more."""
        self.world.ca.clean_loses = loses

    @precondition(lambda self: self.world.ca.heals and self.strangers.forgettable())
    @rule(which=which)
    def crl_forgets(self, which: int) -> None:
        """Another tool's clean writes an older CRL back."""
        self.strangers.forget(which)

    @rule(name=names, which=st.integers(0, 1))
    def agent_asks(self, name: str, which: int) -> None:
        """The agent on the node hands its CSR in."""
        self.strangers.agent_asks(name, which)

    @precondition(lambda self: not self.world.ca.autosign)
    @rule(name=names)
    def stranger_asks(self, name: str) -> None:
        """A stranger hands a CSR in."""
        self.strangers.ask(name)

    @precondition(lambda self: self.model.asking)
    @rule(name=names)
    def stranger_is_signed(self, name: str) -> None:
        """The administrator signs a stranger's CSR."""
        self.strangers.sign(name)

    # Nothing can be done against it between a look and what is then ordered by name.
    @precondition(lambda self: self.world.ca.heals and not self.world.held)
    @rule(name=names)
    def stranger_takes_the_place(self, name: str) -> None:
        """A stranger's certificate takes the place of ours."""
        self.strangers.take_the_place(name)

    @precondition(lambda self: self.model.theirs)
    @rule(name=names)
    def stranger_leaves(self, name: str) -> None:
        """A stranger's certificate is removed."""
        self.strangers.leave(name)

    # Servers that renew revoke by inventory, or the one that the CA does not hold has to be healed.
    @precondition(lambda self: self.world.ca.heals)
    @rule(name=names)
    def agent_renews(self, name: str) -> None:
        """An agent renews its certificate."""
        self.strangers.renew(name)

    # What holds.

    @invariant()
    def facts_hold(self) -> None:
        """What clients were told is true at every moment."""
        if hasattr(self, "model"):
            self.whole = False
            sight.check_facts(self.world, self.model)
            self.whole = True

    def teardown(self) -> None:
        """Let everything end, unless something is wrong already."""
        if hasattr(self, "world"):
            try:
                if self.whole:
                    self.calm()
            finally:
                self.world.close()
