"""Many nodes retired by sixty-four callers at once, with other tools revoking beside espm."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from espm.vigil import EVERY
from tests.live import scene
from tests.live.stack import Stack, own_name
from tests.torture import retirement
from tests.torture.results import Retirement, share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.live.lab import Lab

pytestmark = [pytest.mark.live, pytest.mark.torture, pytest.mark.timeout(1800)]

NODES = share(40, 500)

#: By the scope that espm has at the CA: what others do meanwhile.  Without healing nothing helps
#: against the API's unlocked clean, which the documentation says.
BESIDE = {"full": ("command", "api"), "prefix": ("command",)}


@pytest.fixture
def start(lab: Lab) -> Iterator[Callable[[str], Stack]]:
    """Return what starts an espm that has a scope at the CA."""
    retirement.open_for_healing(lab)
    with scene.scratch("retire") as root:
        started: list[Stack] = []

        def starting(scope: str) -> Stack:
            options = ("--ca-scope", scope, *own_name())
            started.append(Stack(lab, root / "espm", options=options))
            return started[-1].__enter__()

        yield starting
        for stack in started:
            stack.close()


def names(kind: str) -> list[str]:
    """Return as many certnames as nodes are to be retired; nobody else has them."""
    tag = f"{kind}-{time.monotonic_ns():x}"
    return [f"{tag}-{number}.example.com" for number in range(NODES)]


@pytest.mark.parametrize("scope", list(BESIDE)[: share(1, len(BESIDE))])
def test_no_revocation_of_ours_is_lost(lab: Lab, start: Callable[[str], Stack], scope: str) -> None:
    """Every caller is told 204, and in the end the CRL has every serial."""
    stack = start(scope)
    serials = retirement.launch(stack, names("ours"))
    with retirement.other_tools(lab, names("theirs"), BESIDE[scope]) as others:
        answers = retirement.retire(stack, list(serials))
    missing = settled(lab, serials)
    beside = " and ".join(f"{count} by {tool}" for tool, count in others.cleaned.items())
    way = f"espm, `ca_scope = {scope}`, beside {beside}"
    Retirement(way, NODES, retirement.PARALLEL, answers.count(204), len(missing)).keep()

    assert answers == [204] * NODES
    assert missing == []
    assert stack.client().get("/v1/nodes").json()["nodes"] == []


def settled(lab: Lab, serials: dict[str, int]) -> list[str]:
    """Return whose serial the CRL lacks once espm has looked again at what it settled.

    A clean of somebody else may have written an older CRL back after a proof.
    """
    deadline = time.monotonic() + 6 * EVERY
    while (missing := retirement.lost(lab, serials)) and time.monotonic() < deadline:
        time.sleep(1)
    return missing


def test_puppet_servers_clean_loses_some(lab: Lab) -> None:
    """Why espm looks: the same many at once by the API, each answered 200, and most not revoked."""
    serials = retirement.sign(lab, names("direct"))
    answers = retirement.clean(lab, list(serials))
    missing = retirement.lost(lab, serials)
    way = "`PUT /puppet-ca/v1/clean`, a name a call"
    Retirement(way, NODES, retirement.PARALLEL, answers.count(200), len(missing)).keep()

    assert answers == [200] * NODES
    assert missing != []
