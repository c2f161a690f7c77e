"""What it means how the helper ended, as far as that is the same for every verb."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from espm.errors import BackendError, BackendRefused, BackendSilent, BackendUnavailable

if TYPE_CHECKING:
    from espm.model.output import Output

#: Bytes that are kept of each output: the CRL of an old CA has megabytes.
MOST = 64 * 1024 * 1024

_SUDO = b"sudo: "

_MEANINGS: dict[int, tuple[type[BackendError], str]] = {
    75: (BackendUnavailable, "another command has kept the lock on Puppet's files for too long"),
    78: (
        BackendRefused,
        "the settings of espm_tools or Puppet's files are wrong; see espm's log",
    ),
    124: (BackendSilent, "a program of Puppet's did not end in time and was stopped"),
    126: (BackendRefused, "espm_tools cannot be started on the host of Puppet's tools"),
    127: (BackendRefused, "espm_tools is not on the host of Puppet's tools"),
}


class HelperFailed(Exception):
    """What the helper wrote, for the log."""


def judged(verb: str, output: Output, *, sudo: bool) -> Output:
    """Return *output* unless it says that the helper could not do its work.

    :param sudo: whether it was started by sudo, which has something to say, too.
    :raises espm.errors.BackendError: see :meth:`espm.ports.host.Host.call`.
    """
    if sudo and output.status == 1 and output.stderr.startswith(_SUDO):
        fail(BackendRefused, "sudo does not let espm run espm_tools", verb, output)
    if meaning := _MEANINGS.get(output.status):
        fail(*meaning, verb, output)
    return output


def fail(kind: type[BackendError], message: str, verb: str, output: Output) -> NoReturn:
    """Raise an error of *kind* with what the helper wrote as its cause."""
    text = output.stderr[-2000:].decode(errors="replace").strip()
    raise kind(message) from HelperFailed(f"{verb}: exit status {output.status}: {text}")
