"""Several platforms at once that launch, change and retire nodes at random."""

from __future__ import annotations

import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from espm import x509
from tests.torture.witness import Witness, new_csr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.torture.world import World

#: Threads, and nodes that each has to itself.
CLIENTS, NODES = 4, 3


@dataclass
class Platform:
    """One of them: some nodes are its own, and some it fights for with the others."""

    world: World
    own: list[Witness]
    rivals: list[Witness]
    done: int = 0

    def live(self, stop: threading.Event) -> None:
        """Do one thing after the other until told to stop, or until nobody answers."""
        while not stop.is_set() and self.act():
            self.done += 1

    def act(self) -> bool:
        """Do something at random; return whether an answer came."""
        witness = random.choice(self.own if random.random() < 0.8 else self.rivals)
        deeds: list[Callable[[Witness], int]] = [
            lambda each: each.add(self._order(each)),
            lambda each: each.add(),
            lambda each: each.issue(self._order(each)),
            Witness.put,
            Witness.revoke,
            Witness.delete,
        ]
        return bool(random.choices(deeds, (4, 1, 2, 2, 1, 3))[0](witness))

    def _order(self, witness: Witness) -> dict[str, object]:
        """Return an order of a certificate, of each kind."""
        csr = new_csr(witness.name)
        match random.randrange(4):
            # Not of a name that others launch meanwhile: Puppet Server may sign it by espm's call,
            # and where the answer to that is lost nobody knows whose call it was
            # (docs/security.md).
            case 0 if witness in self.own:
                self.world.holdings.hand_in(witness.name, csr)
                return {"sign_pending": x509.csr_der_sha256(csr), "replace_pending": False}
            case 1:
                return {"csr": csr.decode(), "replace_pending": True}
            case _:
                return {"replace_pending": True}


@dataclass
class Load:
    """All of them, and what they know."""

    world: World
    platforms: list[Platform] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Give each its nodes; the rivals' are shared, so each has a witness with its own view."""
        shared = [self.world.witness().name for _ in range(NODES)]
        for _ in range(CLIENTS):
            own = [self.world.witness() for _ in range(NODES)]
            rivals = [Witness(own[0].client, name) for name in shared]
            self.platforms.append(Platform(self.world, own, rivals))

    @property
    def witnesses(self) -> list[Witness]:
        """Those whose word counts: each is the only client of its node."""
        return [witness for platform in self.platforms for witness in platform.own]

    @property
    def codes(self) -> list[int]:
        """Every status so far; 0 where no answer came."""
        every = [each for platform in self.platforms for each in (*platform.own, *platform.rivals)]
        return [code for witness in every for code in witness.codes]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let them live while the block runs."""
        stop = threading.Event()
        threads = [
            threading.Thread(target=platform.live, args=(stop,)) for platform in self.platforms
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()
