"""Clients in threads of their own, and the revoker in its own: interleavings by chance.

The machine beside it chooses where a request is held up, between two calls of ports; here they run
side by side as in the daemon, on a CA that fails now and then.
"""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from espm import certificates, nodes, vigil
from espm.errors import BackendSilent, BackendUnavailable, EspmError
from espm.model import Job
from espm.ordering import Order
from espm.revoker import Revoker
from tests.stateful import sight
from tests.stateful.clients import BY_NAME, CSRS, NAMES, WANTED
from tests.stateful.model import Model
from tests.stateful.trouble import LATE
from tests.stateful.world import World
from tests.torture.results import Result, share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from espm.ports import Ports

#: How often it is tried, with how many clients, each of which makes how many requests.
ROUNDS = share(3, 300)
CLIENTS = 4
REQUESTS = 12

#: Seconds within which everything is over.
SOON = 15.0


class Moody:
    """A CA some of whose calls fail, or are done without an answer, or late."""

    def __init__(self, ca: Any, chance: random.Random) -> None:
        self._ca = ca
        self._chance = chance
        self.calm = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ca, name)

        def call(*args: Any) -> Any:
            mood = 1.0 if self.calm else self._chance.random()
            if mood < 0.03:
                raise BackendUnavailable(name)
            if mood < 0.05 and name in LATE:
                self._ca.hear(name, partial(_try, method, args))
            answer = method(*args)
            if mood < 0.08:
                raise BackendSilent(name)
            return answer

        return call


def _try(method: Callable[..., object], args: tuple[Any, ...]) -> None:
    method(*args)


@dataclass
class Told:
    """What clients were told."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    jobs: list[tuple[str, str]] = field(default_factory=list)
    stamps: list[tuple[int, int]] = field(default_factory=list)
    bugs: list[BaseException] = field(default_factory=list)

    def note(self, platform: str, answer: object) -> None:
        """Note an answer."""
        with self.lock:
            if isinstance(answer, Job):
                self.jobs.append((platform, answer.intent.ident))
            elif isinstance(answer, nodes.Accepted):
                self.stamps.append((answer.node.generation, answer.node.version))


def _ask(ports: Ports, chance: random.Random, told: Told) -> None:
    """Ask for something, mostly of the one platform."""
    platform = BY_NAME[chance.choice(["cloud", "cloud", "other"])]
    name, what = chance.choice(NAMES), WANTED[chance.choice(list(WANTED))]
    order = Order(csr=chance.choice([None, *CSRS[name]]))
    asked: list[Callable[[], object]] = [
        lambda: nodes.add_node(platform, name, what, ports, order=order, request_id="add"),
        lambda: nodes.change_node(platform, name, what, ports, request_id="put"),
        lambda: certificates.issue(platform, name, order, ports, request_id="issue"),
        lambda: certificates.revoke(platform, name, ports, request_id="rev", patience=0.1),
        lambda: nodes.delete_node(platform, name, ports, request_id="del", patience=0.1),
    ]
    (ask,) = chance.choices(asked, weights=[4, 2, 2, 1, 2])
    try:
        told.note(platform.name, ask())
    except EspmError:
        pass
    except BaseException as bug:  # noqa: BLE001 - raised in the main thread
        told.bugs.append(bug)


@pytest.fixture
def world() -> Iterator[World]:
    """A world in which nobody waits for long."""
    made = World(real_time=True)
    for name, seconds in (
        ("revoker.PAUSE", 0.02),
        ("vigil.EVERY", 0.05),
        ("carrying.PATIENCE", 0.2),
        ("intents.FIRST", 0.02),
        ("intents.LONGEST", 0.1),
    ):
        made.pace(name, seconds)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_what_threads_do_side_by_side_leaves_nothing_over(world: World, seed: int) -> None:
    """Every job is done, no stamp is given twice, and CA, ENC and ledger say the same."""
    world.ca.heals = world.ca.clean_loses = bool(seed % 2)
    with _counted():
        ca, told = Moody(world.ca, random.Random(seed)), Told()
        ports = replace(world.ports, ca=ca)
        revoker = Revoker(ports)
        ports = replace(ports, carrier=revoker)

        def client(number: int) -> None:
            chance = random.Random(seed * CLIENTS + number)
            for _ in range(REQUESTS):
                _ask(ports, chance, told)

        _side_by_side(client, revoker, partial(_let_end, world, ca))
        vigil.look_again(vigil.WATCHED, replace(ports, ca=world.ca))

        assert told.bugs == []
        assert len(told.stamps) == len(set(told.stamps)) > 0
        jobs = [world.ledger.job(*each) for each in told.jobs]
        assert [job for job in jobs if not job.state.is_over] == []
        assert world.bugs.found == []
        sight.check_calm(world, Model(world))


@contextmanager
def _counted() -> Iterator[None]:
    """Keep how it went, for the table of docs/reliability.md."""
    result = Result("clients in threads, side by side", "fake CA", tried=1, lost=1)
    try:
        yield
        result.lost = 0
    finally:
        result.keep()


def _side_by_side(
    client: Callable[[int], None], revoker: Revoker, let_end: Callable[[], None]
) -> None:
    """Run all clients, and the revoker until everything came to its end."""
    threads = [threading.Thread(target=client, args=[number]) for number in range(CLIENTS)]
    worker = threading.Thread(target=revoker.run)
    for thread in (worker, *threads):
        thread.start()
    for thread in threads:
        thread.join(SOON)
    try:
        let_end()
    finally:
        revoker.end()
        worker.join(SOON)
    assert not any(thread.is_alive() for thread in (worker, *threads))


def _let_end(world: World, ca: Moody) -> None:
    ca.calm = True
    world.ca.catch_up()
    deadline = time.monotonic() + SOON
    while world.ledger.backlog().open and time.monotonic() < deadline:
        time.sleep(0.02)
