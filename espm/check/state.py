"""Checks of what espm keeps and whether it runs: the ledger, unfinished nodes, the daemon."""

from __future__ import annotations

import ssl
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from espm.check.finding import Finding, State, counted
from espm.config.checks import MOMENT
from espm.ledger import open_ledger
from espm.model import NodeState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from espm.check.finding import Context

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to connect to, not to bind


def ledger(context: Context) -> Iterator[Finding]:
    """Look whether the ledger can be written, and what is unfinished in it."""
    with open_ledger(context.config.ledger_url) as opened:
        opened.ping()
        states = Counter(node.state for node in opened.nodes())
    counts = ", ".join(f"{states[state]} {state}" for state in NodeState if states[state])
    yield Finding("ledger", State.OK, f"can be written; nodes: {counts or 'none'}")
    if unfinished := states[NodeState.ADDING] + states[NodeState.DELETING]:
        verb = "is" if unfinished == 1 else "are"
        what = f"{counted(unfinished, 'node')} {verb} being added or deleted"
        remedy = "if that lasts, see the line jobs, and espm's log; espm carries them on by itself"
        yield Finding("ledger", State.WARN, what, remedy)


def jobs(context: Context) -> Iterator[Finding]:
    """Look whether something has failed and waits for another try, and why."""
    with open_ledger(context.config.ledger_url) as opened:
        backlog = opened.backlog()
    under_way = sum(backlog.open.values()) - backlog.waiting
    if not backlog.waiting or backlog.oldest is None:
        what = f"{counted(under_way, 'job')} under way" if under_way else "none"
        yield Finding("jobs", State.OK, what)
        return
    verb = "waits" if backlog.waiting == 1 else "wait"
    what = (
        f"{counted(backlog.waiting, 'job')} {verb} for another try, since {backlog.oldest:{MOMENT}}"
    )
    remedy = "mend that; espm tries again by itself, every minute at least, while it runs"
    yield Finding("jobs", State.WARN, f"{what}: {backlog.last_error}", remedy)


def daemon(context: Context) -> Iterator[Finding]:
    """Look whether espm runs, and with the certificate that the configuration names."""
    server = context.config.server
    where = f"port {server.port}"
    address = (_EVERYWHERE.get(server.host, server.host), server.port)
    try:
        shown = ssl.get_server_certificate(address, timeout=5)
    except ConnectionRefusedError:
        yield Finding("daemon", State.OK, f"does not run (nobody listens on {where})")
        return
    except OSError:
        remedy = f"see who has {where}: ss -ltnp"
        yield Finding("daemon", State.WARN, f"who listens on {where} speaks no TLS", remedy)
        return
    if ssl.PEM_cert_to_DER_cert(shown) == _leaf(Path(server.certificate)):
        yield Finding("daemon", State.OK, f"runs on {where} with this certificate")
    else:
        remedy = "if it is espm, reload it: systemctl reload espm"
        what = f"who listens on {where} shows another certificate"
        yield Finding("daemon", State.WARN, what, remedy)


def _leaf(path: Path) -> bytes:
    """Return the DER of the first certificate in a file."""
    text = path.read_text("ascii")
    end = "-----END CERTIFICATE-----"
    return ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERT") : text.index(end)] + end)
