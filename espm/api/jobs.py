"""Jobs as callers see them: what goes on after the answer, and what is left of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from espm.api.bodies import time
from espm.api.message import Answer
from espm.exposition import oldest_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from espm.model import Backlog, Job, Json

#: Seconds after which it is worth while to ask for a job again.
_SOON = "2"


def accepted(job: Job) -> Answer:
    """Return the answer that what was asked for goes on as *job*."""
    headers = {"Location": f"/v1/jobs/{job.intent.ident}", "Retry-After": _SOON}
    return Answer(202, job_body(job), headers)


def job_body(job: Job) -> Json:
    """Return a job as JSON: what it is about, how far it is, and what is left of it."""
    return {
        "job": job.intent.ident,
        "kind": job.intent.kind.value,
        "certname": job.certname,
        "generation": job.intent.generation,
        "state": job.state.value,
        "attempts": job.intent.attempts,
        "last_error": job.intent.last_error,
        "created": time(job.intent.created),
        "due": None if job.due is None else time(job.due),
        "closed": None if job.closed is None else time(job.closed),
        "left": [] if job.state.is_over else list(_left(job)),
    }


def backlog_body(backlog: Backlog | None) -> Json:
    """Return what is open in the whole ledger as JSON; null if it can't be known now."""
    if backlog is None:
        return None
    oldest = oldest_seconds(backlog)
    return {
        "open": sum(backlog.open.values()),
        "waiting": backlog.waiting,
        "oldest_seconds": None if oldest is None else int(oldest),
    }


def _left(job: Job) -> Iterator[Json]:
    for certificate in job.certificates:
        serial = None if certificate.issued is None else f"{certificate.issued.serial:X}"
        yield {"certificate": serial, "state": certificate.state.value}
    yield {"node": job.certname, "state": job.node_state.value}
