"""What there is to be set up for each pair of a CA backend and a classifier.

A table instead of questions: what asks for the names of backends asks here, and gets what that
means for the setup.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Stack:
    """What one pair of backends needs.

    :ivar server: whether Puppet Server is called over HTTPS, with a certificate of espm's own, and
        asks ``espm_enc`` for each catalog.
    :ivar tools: whether the programs of old Puppet are run, by the helper ``espm_tools``.
    :ivar section: of puppet.conf, where the settings of the server are.
    :ivar key_type: of keys, unless the administrator chooses; agents of old are sure of RSA only.
    :ivar threads: of espm's server; None for its default.
    """

    server: bool = True
    tools: bool = False
    section: str = "server"
    key_type: str = "ec"
    threads: int | None = None


_TODAY = Stack()

# Each launch waits for the start of a Ruby, half a second to several (reference facts on old
# Puppet, 1.7), and a quarter of the threads may wait: 32 launches at a time.
_OLD = {"tools": True, "section": "master", "key_type": "rsa", "threads": 128}

#: By CA backend and classifier.
STACKS: dict[tuple[str, str], Stack] = {
    ("http_api", "builtin"): _TODAY,
    ("puppetserver_ca", "builtin"): _TODAY,
    ("puppet_cert", "builtin"): Stack(**_OLD),  # type: ignore[arg-type]
    ("puppet_cert", "dashboard"): Stack(server=False, **_OLD),  # type: ignore[arg-type]
}


def named(port: int) -> tuple[str, ...]:
    """Return the names of the CA backends (0) or of the classifiers (1), each once."""
    return tuple(dict.fromkeys(pair[port] for pair in STACKS))


def installed(config: Mapping[str, Mapping[str, str]]) -> Stack:
    """Return what the configuration file with these sections was written for, today's if unsure."""
    ca = config.get("ca", {}).get("backend", "http_api")
    classifier = config.get("classifier", {}).get("backend", "builtin")
    return STACKS.get((ca, classifier), _TODAY)
