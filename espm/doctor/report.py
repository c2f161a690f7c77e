"""What the doctor says: for a person as one screen, however much was found; for a program all."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from espm.check import as_screen
from espm.check.finding import Finding, State, counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from espm.settling import Named

#: So many of one kind are lines of their own; --json has all certificates.
SHOWN = 20

_LOST = "run it with --heal, while espm is stopped; before Puppet Server 8.2.2 it needs signed_dir"


@dataclass(frozen=True)
class Report:
    """All that was found.

    :ivar looked_at: how many certificates the ledger has.
    :ivar ended: how many of them nobody may accept any more.
    :ivar lost: which of these the CRL does not show, healing included.
    :ivar healed: which of these it shows again.
    :ivar platforms: whose they are, by generation.
    :ivar findings: about all else.
    :ivar remedy: what to do about what is lost.
    """

    looked_at: int
    ended: int
    lost: Sequence[Named]
    healed: Sequence[Named]
    platforms: Mapping[int, str]
    findings: Sequence[Finding]
    remedy: str = _LOST

    @property
    def failed(self) -> bool:
        """Whether anything is lost or wrong."""
        return bool(self.lost) or any(each.state is State.FAIL for each in self.findings)

    def as_screen(self) -> str:
        """Return it for a person, bounded."""
        lost = [self._line(named) for named in self.lost]
        healed = [self._line(named) for named in self.healed]
        lines = [
            *bounded("healed", State.OK, healed),
            *bounded("lost", State.FAIL, lost),
            *self.findings,
            self._summary(),
        ]
        return as_screen(lines)

    def as_json(self) -> str:
        """Return it for a program, all of it."""
        told = {
            "certificates": self.looked_at,
            "revoked": self.ended,
            "lost": [self._row(named) for named in self.lost],
            "healed": [self._row(named) for named in self.healed],
            "findings": [asdict(finding) for finding in [*self.findings, self._summary()]],
        }
        return json.dumps(told, indent=2)

    def _summary(self) -> Finding:
        fine = self.ended - len(self.lost)
        what = (
            f"{counted(self.looked_at, 'certificate')} looked at, {self.ended} to be revoked: "
            f"{fine} in the CRL or past, {len(self.lost)} lost, {len(self.healed)} healed now"
        )
        if self.lost:
            return Finding("revocations", State.FAIL, what, self.remedy)
        return Finding("revocations", State.OK, what)

    def _line(self, named: Named) -> str:
        row = self._row(named)
        return f"{row['certname']} serial {row['serial']} of platform {row['platform']}"

    def _row(self, named: Named) -> dict[str, str]:
        certname, certificate = named
        issued = certificate.issued
        return {
            "certname": str(certname),
            "serial": f"{issued.serial:X}" if issued else "",
            "platform": self.platforms.get(certificate.generation, ""),
            # For whoever has to heal it by hand.
            "certificate": issued.pem if issued else "",
        }


def bounded(
    subject: str, state: State, whats: Sequence[str], remedy: str = ""
) -> Iterator[Finding]:
    """Yield a finding for each of *whats*; for those beyond a screen only how many there are."""
    for what in whats[:SHOWN]:
        yield Finding(subject, state, what, remedy)
    if len(whats) > SHOWN:
        yield Finding(subject, state, f"and {len(whats) - SHOWN} more", remedy)
