"""The CA's inventory: one line per certificate, in which old Puppet searches by expression."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.legacy.puppet_versions import Refused
from tests.legacy.puppet_x509 import common_name, read_certificate

if TYPE_CHECKING:
    from cryptography import x509

    from tests.legacy.puppet_files import Files
    from tests.legacy.puppet_speech import Speech
    from tests.legacy.puppet_versions import Traits

HEADER = "# Inventory of signed certificates\n# SERIAL NOT_BEFORE NOT_AFTER SUBJECT\n"
_TIME = "%Y-%m-%dT%H:%M:%SUTC"


class Inventory:
    """The file ``inventory.txt`` of one CA."""

    def __init__(self, files: Files, traits: Traits, speech: Speech) -> None:
        self._files = files
        self._traits = traits
        self._speech = speech

    def add(self, certificate: x509.Certificate) -> None:
        """Append a certificate.  2.7 makes a missing file anew first, later versions start empty.

        That 3.8 does as 5.5 follows from its file having no header.
        """
        if not self._traits.modern and not self._files.inventory.exists():
            self._speech.notice("Rebuilding inventory file")
            self._append(HEADER + "".join(map(_line, self._signed())))
        self._append(_line(certificate))

    def _signed(self) -> list[x509.Certificate]:
        """Return what is in the directory: what was cleaned is forgotten, so is the CA's own."""
        names = self._files.names("signed")
        return [read_certificate(self._files.signed(name)) for name in names]

    def _append(self, text: str) -> None:
        is_new = not self._files.inventory.exists()
        with self._files.inventory.open("a", encoding="utf-8") as file:
            file.write(text)
        if is_new:
            self._files.inventory.chmod(0o644)

    def serials(self, name: str) -> list[int]:
        """Return the serials of the lines that *name*, an expression (trap 1), matches.

        Up to 2.7 it is the first, which is the oldest (trap 2).

        :raises Refused: there is none, or the name is no expression.
        """
        try:
            found = re.findall(rf"^(\S+).+/CN={name}$", self._text(), re.MULTILINE)
        except re.error as exc:
            msg = f"{exc.msg}: /^(\\S+).+\\/CN={name}$/"
            raise Refused(msg) from exc
        if not found:
            msg = f"Could not find a serial number for {name}"
            raise Refused(msg)
        # A name with groups of its own makes tuples of what is found.
        hexadecimal = [each if isinstance(each, str) else each[0] for each in found]
        return [int(each, 16) for each in hexadecimal][: None if self._traits.modern else 1]

    def _text(self) -> str:
        if not self._files.inventory.exists():
            return ""
        return self._files.inventory.read_text(encoding="utf-8")


def _line(certificate: x509.Certificate) -> str:
    begin = certificate.not_valid_before_utc.strftime(_TIME)
    end = certificate.not_valid_after_utc.strftime(_TIME)
    name = common_name(certificate.subject)
    return f"0x{certificate.serial_number:04x} {begin} {end} /CN={name}\n"
