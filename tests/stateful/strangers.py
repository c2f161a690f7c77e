"""What Puppet's CA, agents and strangers do, of which espm is not told."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from espm import x509
from espm.model import Certname
from espm.vigil import WATCHED
from tests.stateful import sight
from tests.stateful.clients import CSRS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stateful.model import Model
    from tests.stateful.world import World


@dataclass
class Strangers:
    """Everybody but espm and its clients."""

    world: World
    model: Model

    def agent_asks(self, name: str, which: int) -> None:
        """Hand in a CSR of the node's own key, as its agent does."""
        if self._may_ask(name):
            csr = CSRS[Certname(name)][which]
            self.world.ca.requests[name] = self.model.agents[name] = csr

    def ask(self, name: str) -> None:
        """Hand in a stranger's CSR, as anyone may for any name."""
        if self._may_ask(name):
            csr = x509.new_csr(Certname(name), x509.new_key())
            self.world.ca.requests[name] = self.model.asking[name] = csr

    def _may_ask(self, name: str) -> bool:
        ca = self.world.ca
        return name not in ca.issued and name not in ca.requests

    @contextmanager
    def overtaking(self) -> Iterator[None]:
        """Have CSRs on their way that take the place of those that are to be signed meanwhile.

        What espm's own call has signed for them is not theirs to keep.
        """
        for name in CSRS:
            self.world.ca.overtaking[name] = x509.new_csr(name, x509.new_key())
        yield
        self.world.ca.overtaking.clear()

    def sign(self, name: str) -> None:
        """Sign a stranger's CSR by hand, as the administrator may."""
        csr = self.model.asking.pop(name, None)
        if csr is not None:
            # At the CA itself, which may not answer just now.
            self._theirs(name, self.world.ca.sign_instead(name, csr))

    def take_the_place(self, name: str) -> None:
        """Remove our certificate from the CA, unrevoked, and sign another key.

        Not one that was renewed: espm can't hear of it any more then.
        """
        held = self.world.ca.issued.get(name)
        renewed = held is not None and sight.serial(held) in self.model.renewed.values()
        if held is not None and name not in self.model.theirs and not renewed:
            csr = x509.new_csr(Certname(name), x509.new_key())
            self._theirs(name, self.world.ca.sign_instead(name, csr))

    def _theirs(self, name: str, pem: bytes) -> None:
        self.model.theirs[name] = pem
        self.model.theirs_ever.append(pem)

    def leave(self, name: str) -> None:
        """Remove a stranger's certificate, so that the name is free."""
        if self.model.theirs.pop(name, None):
            del self.world.ca.issued[name]

    def renew(self, name: str) -> None:
        """Renew a certificate of ours with its key, as its agent may while it is not revoked.

        Once for each: one that was renewed twice between two looks is beyond espm's sight.
        """
        ca, done = self.world.ca, self.model.renewed
        if name in ca.issued and name not in self.model.theirs:
            old = sight.serial(ca.issued[name])
            if old not in ca.revoked and old not in {*done, *done.values()}:
                done[old] = sight.serial(ca.renew(name))

    def _recent(self) -> list[int]:
        """Return the serials in the CRL that were proved revoked a short while ago."""
        recent = self.world.ledger.revoked(WATCHED).serials
        return sorted(recent & self.model.dead & self.world.ca.revoked)

    def forget(self, which: int) -> None:
        """Write an older CRL back, as another tool's clean does."""
        found = self._recent()
        if found:
            lost = found[which % len(found)]
            self.world.ca.revoked.discard(lost)
            self.model.forgotten.add(lost)
