"""What ``puppet cert`` says, and what it means.

Up to 2.7.17 it ends with 0 whatever happened and says what went wrong on its standard output,
coloured; later versions moved both (reference facts on old Puppet, 1.1).  So its words are judged,
of both outputs together, and whoever asks looks at the CA's files as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from espm.errors import (
    BackendRefused,
    BackendUnavailable,
    CertificateUnknown,
    CertnameTaken,
    CsrPending,
    CsrUnknown,
)

if TYPE_CHECKING:
    from espm.errors import EspmError
    from espm.model.output import Output

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_FAILED = re.compile(
    r"^(?:err|crit|alert|emerg|Error|Critical|Alert|Emergency): (.*)$", re.MULTILINE
)

#: Lines of ``list``, bare and quoted names alike (reference facts on old Puppet, 1.3).
_LISTED = re.compile(
    r'^([ +-]) (?:"((?:[^"\\]|\\.)*)"|(.*?))\s+\(?(?:\(?([A-Z0-9-]+)\) )?'
    r"((?:[0-9A-F]{2}:)+[0-9A-F]{2})\)?(?: (\d{4}-\S+Z))?(?: \(alt names: ([^)]*)\))?"
    r"(?: \(([^)]*)\))?( \*\*)?$",
    re.MULTILINE,
)

_SIGNED = re.compile(r"^[Nn]otice: Signed certificate request for (\S+)$", re.MULTILINE)
_FINGERPRINT = re.compile(r"^\S+ (?:\(SHA256\) )?((?:[0-9A-F]{2}:){31}[0-9A-F]{2})$", re.MULTILINE)
_SUBJECT = re.compile(r"^ +Subject: ?(.+)$", re.MULTILINE)

_BROKEN = "Puppet's CA cannot be worked with; espm's log says why"

#: Words of Puppet's, the error they mean, and what it says to the caller, with the name in it.
_MEANINGS: tuple[tuple[str, type[EspmError], str], ...] = (
    ("A Certificate already exists for", CertnameTaken, "the CA holds a certificate for {}"),
    ("already has a signed certificate", CertnameTaken, "the CA holds a certificate for {}"),
    ("already has a requested certificate", CsrPending, "a CSR for {} waits at the CA already"),
    ("Could not find certificate request for", CsrUnknown, "no CSR for {} waits at the CA"),
    ("Could not find CSR for", CsrUnknown, "no CSR for {} waits at the CA"),
    ("Could not find a serial number for", CertificateUnknown, "the CA has no certificate of {}"),
    ("Could not find a certificate", CertificateUnknown, "the CA has no certificate of {}"),
    ("Could not find certificate for", CertificateUnknown, "the CA has no certificate of {}"),
    ("which are disallowed", BackendRefused, "the CA signs no alternative names, as {} asks for"),
    ("outside the DNS label space", BackendRefused, "the CA does not sign these names of {}"),
    ("extensions that are not permitted", BackendRefused, "the CA signs no such CSR, for {}"),
    ("which is not allowed", BackendRefused, "the CA does not sign the CSR for {}"),
    ("invalid key", BackendRefused, "the CA does not take the name {}"),
    (".tmp file already exists", BackendUnavailable, "the CA's file of serials is in use, for {}"),
    ("no start line", BackendUnavailable, "a file of the CA was being written, for {}"),
)

#: Exit codes of the helper and of Puppet that mean the same whatever was asked for.
_STATUSES: dict[int, tuple[type[EspmError], str]] = {
    1: (BackendRefused, "this Puppet does not know the command as espm gives it; see espm's log"),
    23: (BackendRefused, _BROKEN),
    64: (BackendRefused, "espm_tools does not take this; espm's log says what"),
    65: (BackendUnavailable, "the CA has another certificate of {} by now; it is looked at anew"),
    66: (CertificateUnknown, "the CA has no such file of {}"),
    73: (CsrPending, "a CSR for {} waits at the CA already"),
    74: (CertnameTaken, "the CA holds a certificate or a key for {} already"),
}


class CertSaid(Exception):
    """What the command wrote, for the log."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of ``puppet cert list``.

    :ivar state: a space for a CSR that waits, "+" for a certificate, "-" for one not valid.
    """

    name: str
    state: str


def said(output: Output) -> str:
    """Return what the command wrote on both outputs, without colours."""
    return _ANSI.sub("", (output.stdout + b"\n" + output.stderr).decode(errors="replace"))


def faults(output: Output) -> list[str]:
    """Return what the command says went wrong, whatever its exit status."""
    return _FAILED.findall(said(output))


def failed(output: Output) -> bool:
    """Return whether something went wrong, as far as the command knows."""
    return output.status != 0 or bool(faults(output))


def blame(output: Output, action: str, certname: str) -> EspmError:
    """Return the error that the command's end means; to be asked when something went wrong.

    :param certname: whose certificate it was about, for the message.
    """
    text = said(output)
    kind, message = _meaning(output.status, text) or (
        BackendRefused,
        f"puppet cert {action} failed",
    )
    error = kind(message.format(certname))
    error.__cause__ = CertSaid(f"{action}, exit status {output.status}: {text.strip()[:2000]}")
    return error


def listed(output: Output) -> list[Listed]:
    """Return what ``puppet cert list`` has listed."""
    return [
        Listed(quoted or bare, state)
        for state, quoted, bare, *_ in _LISTED.findall(said(output))
    ]  # fmt: skip


def signed(output: Output) -> frozenset[str]:
    """Return the names whose CSRs ``puppet cert sign`` says that it has signed."""
    return frozenset(_SIGNED.findall(said(output)))


def fingerprint(output: Output) -> str:
    """Return the SHA-256 that ``puppet cert fingerprint`` tells, in hex; empty if it tells none.

    From 3.0 on the digest is named before it (reference facts on old Puppet, 1.2 and 1.3).
    """
    found = _FINGERPRINT.search(said(output))
    return found[1].replace(":", "").lower() if found else ""


def subject(output: Output) -> str:
    """Return the subject of what ``puppet cert print`` prints; empty if it prints none."""
    found = _SUBJECT.search(said(output))
    return found[1].strip() if found else ""


def _meaning(status: int, text: str) -> tuple[type[EspmError], str] | None:
    for words, kind, message in _MEANINGS:
        if words in text:
            return kind, message
    return _STATUSES.get(status)
