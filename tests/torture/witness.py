"""A client that remembers what it was told of one node, and so what must be true of it.

What it was told leaves some ways open: an answer that never came may have been a yes or a no.  Each
*life* it keeps is one way; what is found afterwards has to be one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import requests

from espm import x509
from espm.model import Certname

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.api.platform import Client
    from tests.torture.accounts import Books

#: A certificate whose serial nobody was told.
SOME = -1


class Life(NamedTuple):
    """A node in force.

    :ivar turn: what its classification says.
    :ivar serial: of its certificate, if it has one.
    """

    turn: int
    serial: int | None


Lives = set[Life | None]


@dataclass
class Witness:
    """The one client of the node *name*.

    :ivar may_be: what the node may be; None is no node.
    :ivar codes: how often each status came, 0 for no answer.
    """

    client: Client
    name: str
    may_be: Lives = field(default_factory=lambda: {None})
    codes: list[int] = field(default_factory=list)
    turn: int = 0
    _last: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Where the node is in the API."""
        return f"/v1/nodes/{self.name}"

    def add(self, order: dict[str, Any] | None = None, key: str = "") -> int:
        """Add the node, with a certificate if one is ordered.

        :param key: for Idempotency-Key, unique for this node.
        """
        self.turn += 1
        body = {"certname": self.name, **self._classification()}
        if order is not None:
            body["certificate"] = order
        headers = {"Idempotency-Key": f"{self.name}-{key}"} if key else {}
        self._last = {"json": body, "headers": headers}
        return self._add(order)

    def repeat(self) -> int:
        """Send the last addition again."""
        return self._add(self._last["json"].get("certificate"))

    def _add(self, order: dict[str, Any] | None) -> int:
        status, answer = self._call("POST", "/v1/nodes", **self._last)
        if status == 201:
            given = answer.get("certificate")
            self.may_be = {Life(self.turn, _serial(given) if given else None)}
        elif not status:
            self._also(lambda life: life or Life(self.turn, None if order is None else SOME))
        return status

    def put(self) -> int:
        """Change the classification."""
        self.turn += 1
        status, _ = self._call("PUT", self.path, json=self._classification())
        self._after(status, lambda life: life and life._replace(turn=self.turn))
        return status

    def issue(self, order: dict[str, Any]) -> int:
        """Get a certificate."""
        status, answer = self._call("POST", f"{self.path}/certificate", json=order)
        serial = _serial(answer) if status == 201 else SOME
        self._after(status, lambda life: life and life._replace(serial=serial))
        return status

    def revoke(self) -> int:
        """Revoke the certificate."""
        status, _ = self._call("DELETE", f"{self.path}/certificate")
        # A node whose deletion failed and goes on has no valid certificate either, and says so.
        leaving = {None} & self.may_be
        self._after(status, lambda life: life and life._replace(serial=None))
        self.may_be |= leaving
        return status

    def delete(self, wait: int = 10) -> int:
        """Retire the node; wait so many seconds for the end of it."""
        status, _ = self._call("DELETE", self.path, headers={"Prefer": f"wait={wait}"})
        self._after(status, lambda _: None)
        return status

    def faults(self, books: Books) -> list[str]:
        """Return what is not as this client was told, in the ledger and as the API shows it."""
        found = books.turn(self.name)
        life = None if found is None else Life(*found)
        if not any(_fits(life, each) for each in self.may_be):
            return [f"{self.name} is {life}; by what was answered it may be {self.may_be}"]
        self.may_be = {life}
        shown = self._shown()
        return [] if shown == life else [f"the API shows {shown} of {self.name}, it is {life}"]

    def _shown(self) -> Life | None:
        answer = self.client.get(self.path)
        if answer.status_code == 404:
            return None
        turn = answer.json()["parameters"]["turn"]
        held = self.client.get(f"{self.path}/certificate")
        valid = held.status_code == 200 and held.json()["state"] == "valid"
        return Life(turn, _serial(held.json()) if valid else None)

    def _classification(self) -> dict[str, Any]:
        return {"parameters": {"turn": self.turn}}

    def _call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Return status and answer; 0 when none came."""
        try:
            answer = self.client.call(method, path, **options)
        except requests.RequestException:
            self.codes.append(0)
            return 0, {}
        self.codes.append(answer.status_code)
        return answer.status_code, answer.json() if answer.content else {}

    def _after(self, status: int, change: Callable[[Life | None], Life | None]) -> None:
        """Note that all was changed by a 2xx, nothing by a 4xx, and either by anything else."""
        if 200 <= status < 300:
            self.may_be = set(map(change, self.may_be - {None})) or {None}
        elif not 400 <= status < 500:
            self._also(change)

    def _also(self, change: Callable[[Life | None], Life | None]) -> None:
        self.may_be |= set(map(change, self.may_be))


def _fits(life: Life | None, may_be: Life | None) -> bool:
    if life is None or may_be is None:
        return life is may_be
    serial = may_be.serial if may_be.serial != SOME or life.serial is None else life.serial
    return life == may_be._replace(serial=serial)


def _serial(given: Any) -> int:
    return int(given["serial"], 16)


def new_csr(name: str) -> bytes:
    """Return a CSR for *name* and a new key."""
    return x509.new_csr(Certname(name), x509.new_key())


def codes(witnesses: Iterable[Witness]) -> dict[int, int]:
    """Return how often each status came."""
    found = sorted(code for witness in witnesses for code in witness.codes)
    return {code: found.count(code) for code in dict.fromkeys(found)}
