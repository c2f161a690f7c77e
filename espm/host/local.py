"""The helper on this host."""

from __future__ import annotations

from shutil import which
from typing import TYPE_CHECKING

from espm import command
from espm.host.judging import MOST, judged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from espm.model.output import Output

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class LocalHost:
    """The host that espm runs on; see :class:`espm.ports.host.Host`.

    :param argv: the helper, perhaps behind ``sudo -n``.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        self._sudo = argv[0] == "sudo"
        program = which(argv[0], path=_PATH) if self._sudo else argv[0]
        self._argv = [program or "/usr/bin/sudo", *argv[1:]]

    def call(
        self, verb: str, *arguments: str, stdin: bytes | None = None, timeout: float
    ) -> Output:
        """Run the helper to its end and return how it ended."""
        argv = [*self._argv, verb, *arguments]
        output = command.run(argv, timeout=timeout, stdin=stdin, most=MOST)
        return judged(verb, output, sudo=self._sudo)
