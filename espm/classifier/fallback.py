"""The ENC that was there before: whether a name is somebody else's node already.

An ENC often answers for every name, with the defaults of the site.  So it is asked for the name
and for a name that nobody has, in the same domain: it *knows* the name when it gives it classes
or parameters, and others than it gives to anybody.  Rules for a whole domain are therefore no
reason to call a name taken, a rule that picks this host is.

How an ENC says "I don't know that node" is not laid down; many exit with a code other than 0,
and Puppet then refuses the catalog.  An ENC that fails for all names (its database is down, say)
looks the same; what keeps a foreign node's name safe then is that the CA knows it, too.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import yaml

from espm import command
from espm.errors import BackendRefused, BackendUnavailable
from espm.raising import Raising

if TYPE_CHECKING:
    from collections.abc import Sequence

    from espm.model import Certname, Json

#: Seconds the ENC may take for one name.
TIMEOUT = 30.0

# What PyYAML raises about values that are not of the type that they claim to be.
_UNREADABLE = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
# Also where an answer contains itself.
_READABLE = Raising(
    _UNREADABLE,
    lambda _: BackendRefused(
        "the fallback ENC's answer is not YAML, or not of the kind that an ENC gives"
    ),
)

#: What a shell says when it can't run the program behind it (POSIX, 2.8.2).
_BROKEN = (126, 127)


class Fallback:
    """The program that answers for names that are not ours.

    :param argv: the program and its arguments; the name is added as the last one.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = tuple(argv)

    def knows(self, certname: Certname) -> bool:
        """Return whether the program treats *certname* otherwise than a name nobody has.

        :raises espm.errors.BackendUnavailable: it can't be run, or was late.
        :raises espm.errors.BackendRefused: its answer can't be read.
        """
        label, dot, domain = certname.partition(".")
        answer = self._ask(certname)
        if not _says_something(answer):
            return False
        nobody = f"x{secrets.token_hex(12)}"
        other = self._ask(nobody + dot + domain)
        with _READABLE:
            return bool(answer != _renamed(other, nobody, label))

    def _ask(self, name: str) -> Json:
        """Return the answer for *name*; None when the program says that there is none."""
        output = command.run([*self._argv, name], timeout=TIMEOUT)
        if output.status in _BROKEN or output.status < 0:
            msg = "the fallback ENC can't be run"
            raise BackendUnavailable(msg) from RuntimeError(f"{output}: {output.stderr[:2000]!r}")
        return _parsed(output.stdout) if output.status == 0 else None


def _parsed(answer: bytes) -> Json:
    with _READABLE:
        return yaml.safe_load(answer)


def _says_something(answer: Json) -> bool:
    return isinstance(answer, dict) and bool(answer.get("classes") or answer.get("parameters"))


def _renamed(content: Json, old: str, new: str) -> Json:
    """Return *content* with every *old* in its strings replaced: a name is no difference."""
    if isinstance(content, str):
        return content.replace(old, new)
    if isinstance(content, list):
        return [_renamed(item, old, new) for item in content]
    if isinstance(content, dict):
        return {_renamed(k, old, new): _renamed(v, old, new) for k, v in content.items()}
    return content
