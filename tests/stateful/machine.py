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
maybe_orders = st.sampled_from([None, *ORDERS])
matches = st.sampled_from(["any", *MATCHES])
patiences = st.sampled_from([0.0, 1.0])
# Not st.integers, which prefers the small ones.
kinds, few, many = st.sampled_from(Kind), st.sampled_from(range(9)), st.sampled_from(range(17))
troubles = st.none() | st.builds(Trouble, kinds, few)
late_troubles = st.none() | st.builds(Trouble, kinds, many)


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
        order=maybe_orders,
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

    @rule(platform=platforms, which=which, what=whats, order=maybe_orders, trouble=late_troubles)
    def add(
        self, platform: str, which: int, what: str, order: str | None, trouble: Trouble | None
    ) -> None:
        """Add a node, of a free name if there is one."""
        taken = {name for _, name in self.model.lives}
        free = [name for name in NAMES if name not in taken] or NAMES
        name = free[which % len(free)]
        if order == "pending":
            self.strangers.agent_asks(name, 0)
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
    @rule(which=which, order=orders, trouble=late_troubles)
    def issue(self, which: int, order: str, trouble: Trouble | None) -> None:
        """Ask for a certificate of a node."""
        key = self.some(which)
        if order == "pending":
            self.strangers.agent_asks(key[1], 1)
        self.clients.issue(key, order, trouble)

    # Without trouble, for where the answer is lost that tells whose call it was, nobody knows.
    @rule(which=which, order=orders, again=st.booleans())
    def overtaken(self, which: int, order: str, *, again: bool) -> None:
        """A stranger's CSR takes the place of the one that is to be signed for a node."""
        with self.strangers.overtaking():
            if again and lives(self):
                self.issue(which, order, None)
            else:
                self.add("cloud", which, "bare", order, None)

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
        """Add what may be taken, delete what is not there, or somebody else's."""
        if (platform, name) in self.model.lives:
            self.clients.add((platform, name), "bare", None)
        else:
            self.clients.delete((platform, name), "any", 0.0)

    # What espm does by itself, and what happens to it.

    @precondition(lambda self: not self.world.revoker.busy)
    @rule(trouble=late_troubles)
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

    # What the CA, agents and strangers do; one rule each, so that clients have the most to say.

    @rule(signs=st.booleans(), loses=st.booleans(), which=which)
    def ca_changes(self, *, signs: bool, loses: bool, which: int) -> None:
        """Come back, catch up; sign by itself or not, lose what is cleaned, or what it had."""
        ca = self.world.ca
        ca.away = False
        ca.catch_up()
        ca.autosign = signs and not self.model.asking
        ca.clean_loses, ca.loses_revocations = loses and ca.heals, loses and not ca.heals
        if loses and ca.heals:
            self.strangers.forget(which)

    @rule(name=names, which=which)
    def agent(self, name: str, which: int) -> None:
        """An agent renews its certificate if it has one, else it hands in its CSR."""
        # Servers that renew revoke by inventory; or the one that is not held has to be healed.
        if self.world.ca.heals and name in self.world.ca.issued:
            self.strangers.renew(name)
        else:
            self.strangers.agent_asks(name, which % 2)

    @rule(name=names, takes_place=st.booleans())
    def stranger(self, name: str, *, takes_place: bool) -> None:
        """A stranger hands in a CSR, is signed, leaves; or takes the place of ours."""
        # Nothing can be done against it between a look and what is then ordered by name.
        if takes_place and self.world.ca.heals and not self.world.held:
            self.strangers.take_the_place(name)
        elif name in self.model.theirs:
            self.strangers.leave(name)
        elif name in self.model.asking:
            self.strangers.sign(name)
        elif not self.world.ca.autosign:
            self.strangers.ask(name)

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
