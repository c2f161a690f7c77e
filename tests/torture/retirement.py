"""Retiring many nodes at once, by espm and by Puppet Server's own call, beside other tools.

What other tools do meanwhile is what a busy site does: an administrator cleans names with the
native command, and a script with the API's ``clean``.  Their names are their own.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509

from tests.live.credentials import issue

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.live.lab import Lab
    from tests.live.stack import Stack

API = "/puppet-ca/v1"

#: As many as may be under way at once.
PARALLEL = 64


def open_for_healing(lab: Lab) -> None:
    """Let every user write to the lab's directories of certificates and CSRs, the daemon's too."""
    lab.cadir.chmod(0o755)
    for name in ("signed", "requests"):
        (lab.cadir / name).chmod(0o777)


def launch(stack: Stack, names: Sequence[str]) -> dict[str, int]:
    """Add nodes with certificates by espm; return the serials by name."""

    def add(name: str) -> int:
        answer = stack.client().add(name, certificate={})
        assert answer.status_code == 201, answer.text
        return int(answer.json()["certificate"]["serial"], 16)

    with ThreadPoolExecutor(8) as pool:
        return dict(zip(names, pool.map(add, names), strict=True))


def sign(lab: Lab, names: Sequence[str]) -> dict[str, int]:
    """Have certificates signed without espm; return the serials by name."""

    def one(name: str) -> int:
        return x509.load_pem_x509_certificate(issue(lab, name)[0]).serial_number

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(names, pool.map(one, names), strict=True))


def retire(stack: Stack, names: Sequence[str]) -> list[int]:
    """Delete nodes by espm, many at once; return the statuses, 202 followed to its end."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(lambda name: _delete(stack, name), names))


def _delete(stack: Stack, name: str) -> int:
    client, path = stack.client(), f"/v1/nodes/{name}"
    answer = client.call("DELETE", path)
    while answer.status_code == 202:
        answer = client.call("DELETE", path)
    return answer.status_code


def clean(lab: Lab, names: Sequence[str]) -> list[int]:
    """Retire certificates by Puppet Server's ``clean``, a name a call, many at once."""

    def one(name: str) -> int:
        return lab.request("PUT", f"{API}/clean", {"certnames": [name]})[0]

    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(one, names))


def lost(lab: Lab, serials: dict[str, int]) -> list[str]:
    """Return the names whose serial the CRL that agents get does not show."""
    _, pem = lab.request("GET", f"{API}/certificate_revocation_list/ca")
    shown = {revoked.serial_number for revoked in x509.load_pem_x509_crl(pem)}
    return [name for name, serial in serials.items() if serial not in shown]


@dataclass
class Others:
    """What other tools did meanwhile.

    :ivar cleaned: how many names each of them cleaned, by tool.
    """

    cleaned: dict[str, int]


@contextmanager
def other_tools(lab: Lab, names: Sequence[str], tools: Sequence[str]) -> Iterator[Others]:
    """Clean *names*, which are signed before, while the block runs.

    :param tools: ``command``, the native one, and ``api``, the call ``clean``.
    """
    sign(lab, names)
    others, ended = Others(dict.fromkeys(tools, 0)), threading.Event()
    waiting = list(names)

    def work(tool: str) -> None:
        while waiting and not ended.is_set():
            name = waiting.pop()
            if tool == "command":
                lab.cli("ca", "clean", "--certname", name)
            else:
                lab.request("PUT", f"{API}/clean", {"certnames": [name]})
            others.cleaned[tool] += 1

    threads = [threading.Thread(target=work, args=(tool,)) for tool in others.cleaned]
    for thread in threads:
        thread.start()
    try:
        yield others
    finally:
        ended.set()
        for thread in threads:
            thread.join()
