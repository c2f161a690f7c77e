"""What can go wrong while setting up; each kind has its exit code.

The codes are those of BSD's sysexits.h where it has one that fits.
"""

from __future__ import annotations


class SetupError(Exception):
    """Something failed; the message says what, and what to do."""

    code = 1


class InTheWay(SetupError):
    """A file that would be overwritten exists, or a directory that is needed does not."""

    code = 73


class NotPermitted(SetupError):
    """The user who runs the setup may not do what it takes."""

    code = 77
