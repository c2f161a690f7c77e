"""One examination from its begin to its end: replay, heal if wanted, look around."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from espm import check
from espm.check import own, puppet
from espm.check.finding import Finding, State
from espm.doctor import healing, surroundings
from espm.doctor.replay import replay, sort_out, strays
from espm.doctor.report import Report
from espm.errors import BackendError, causes
from espm.failfast import FailFast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from espm.check.finding import Check, Context
    from espm.doctor.replay import Replayed
    from espm.ports import Ports

_CA = "see what Puppet Server's log says"
_STILL = f"see the lines above; set [ca] signed_dir, {healing.BY_HAND}"


def examine(context: Context, ports: Ports, *, heal: bool) -> Report:
    """Return all that is to be said.

    :raises espm.errors.BackendError: the CRL can't be had, or the ledger is away.
    """
    found = replay(ports)
    before = found.lost
    findings = list(_treated(found, ports)) if heal and (before or found.strays) else []
    kept = {certificate.ident for _, certificate in found.lost}
    report = Report(
        looked_at=found.looked_at,
        ended=found.ended,
        lost=found.lost,
        healed=[named for named in before if named[1].ident not in kept],
        platforms=ports.ledger.platforms_of(certificate for _, certificate in before),
        findings=[*findings, *check.look(context, _rows(context, found, ports))],
    )
    return replace(report, remedy=_STILL) if heal else report


def _treated(found: Replayed, ports: Ports) -> Iterator[Finding]:
    """Heal what *found* has, and put into it how it is afterwards."""
    yield from healing.heal(found, ports)
    try:
        found.lost, _ = sort_out(found.lost, ports)
    except BackendError as error:
        what = f"espm could not look whether that helped: {causes(error)}"
        yield Finding("healing", State.FAIL, what, "repeat this")
    found.strays = strays(ports)


def _rows(context: Context, found: Replayed, ports: Ports) -> list[tuple[str, Check, str]]:
    """Return the checks of what is around, as :func:`espm.check.look` takes them."""
    ports = replace(ports, ca=FailFast(ports.ca))
    rows: list[tuple[str, Check, str]] = [
        ("certificates", lambda _: surroundings.certificates(found), ""),
        ("ENC", lambda _: surroundings.documents(ports), ""),
        ("CSRs", lambda _: surroundings.requests(found.holders, ports), _CA),
        ("CRL", puppet.crl, _CA),
        ("CA certificates", surroundings.authorities, _CA),
        ("client TLS", own.client_certificate, ""),
    ]
    # Systemd hands its key over to the daemon alone; what needs no key is not worth a fault.
    if Path(context.config.server.private_key).exists():
        rows.append(("server TLS", own.server_certificate, ""))
    return rows
