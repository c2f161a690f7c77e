"""What we need of the host that the tools of an old Puppet are on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from espm.model.output import Output


class Host(Protocol):
    """The helper ``espm_tools``, on this host or on another one."""

    def call(
        self, verb: str, *arguments: str, stdin: bytes | None = None, timeout: float
    ) -> Output:
        """Run the helper to its end and return how it ended.

        Its exit status is that of the program it ran, or says what it has found itself: 64
        refused, 65 another certificate than was looked at, 66 no such file, 73 a CSR waits, 74 a
        certificate is there.

        :param timeout: seconds that the whole may take.
        :raises espm.errors.BackendSilent: host or program did not answer in time.
        :raises espm.errors.BackendUnavailable: the host could not be reached, the connection
            broke, or somebody else had the lock for too long; what was begun may have been done.
        :raises espm.errors.BackendRefused: the helper may not be run, or its settings are wrong.
        """
