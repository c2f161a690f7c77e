"""In what the versions of Puppet differ (reference facts on old Puppet, 1.1 and 1.3).

The stand-in asks these properties and never compares versions elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

#: The versions that were recorded, and 2.7.18, of which the reference has the table's column.
KNOWN = ("2.7.12", "2.7.18", "2.7.19", "3.8.7", "5.5.22")


class Refused(Exception):
    """The CA did not do what it was asked; most versions tell it as an error of the action."""


class Misused(Exception):
    """The command itself makes no sense; 24 in every version."""


class Broken(Exception):
    """The CA cannot be used at all; 23 in every version."""


class BadOption(Exception):
    """An option is not understood; 1 in every version."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What one version does.

    :ivar number: the version, as ``puppet --version`` says it.
    """

    number: str

    @property
    def parts(self) -> tuple[int, ...]:
        """The version's numbers, to compare with."""
        return tuple(int(part) for part in self.number.split("."))

    @property
    def failure(self) -> int:
        """The exit status of an action that failed: 0 up to 2.7.18."""
        return 0 if self.parts < (2, 7, 19) else 24

    @property
    def quoted(self) -> bool:
        """Whether names are quoted in lists and checked before they are used."""
        return self.parts >= (2, 7, 18)

    @property
    def hexadecimal(self) -> bool:
        """Whether ``revoke`` takes a serial, as 0xHEX."""
        return self.parts >= (2, 7, 20)

    @property
    def modern(self) -> bool:
        """Whether errors go to stderr, digests are SHA-256 and the inventory has no header."""
        return self.parts >= (3,)

    @property
    def newest(self) -> bool:
        """Whether it is the last generation, which refuses to clean all and warns of its end."""
        return self.parts >= (5,)

    @property
    def digest(self) -> str:
        """The digest of ``list`` and ``fingerprint`` unless another is asked for."""
        return "SHA256" if self.modern else "MD5"
