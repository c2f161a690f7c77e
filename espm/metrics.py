"""What espm counts, for Prometheus; the names are documented in docs/administration.md.

Counters are the process's own, as is usual with the client library; what the ledger knows better
is asked at each scrape (:mod:`espm.exposition`).
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)

import espm

if TYPE_CHECKING:
    from datetime import datetime

#: What is exposed; the library's default registry has things of its own.
REGISTRY = CollectorRegistry()

#: Stands for what callers may make up, so that nobody can fill our memory with names.
OTHER = "other"

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})

# A second series for each counter, which says since when it counts; the process has a start time.
disable_created_metrics()  # type: ignore[no-untyped-call] # the library's

ProcessCollector(registry=REGISTRY)
BUILD = Info("espm_build", "The espm that runs.", registry=REGISTRY)
BUILD.info({"version": espm.__version__})

REQUESTS = Counter(
    "espm_requests", "Requests answered.", ["method", "route", "status"], registry=REGISTRY
)
REQUEST_SECONDS = Histogram(
    "espm_request_seconds",
    "Time that answers took.",
    ["method", "route"],
    buckets=(0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60),
    registry=REGISTRY,
)
BATCHES = Histogram(
    "espm_batch_size",
    "Operations that were carried on together.",
    buckets=(1, 2, 5, 10, 20, 50),
    registry=REGISTRY,
)
BATCH_SECONDS = Histogram(
    "espm_batch_seconds",
    "Time that the operations of a batch took together.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    registry=REGISTRY,
)
HEALED = Counter(
    "espm_revocations_healed", "Revocations that were missing in the CRL, ordered again.",
    registry=REGISTRY,
)  # fmt: skip
LOST = Counter(
    "espm_revocations_lost",
    "Revocations that the CRL had shown and did not show later.",
    registry=REGISTRY,
)
CRL_BYTES = Gauge("espm_crl_bytes", "Size of the CRLs when last read.", registry=REGISTRY)
CRL_ENTRIES = Gauge("espm_crl_entries", "Entries of the CRLs when last read.", registry=REGISTRY)
CRL_NEXT_UPDATE = Gauge(
    "espm_crl_next_update_timestamp_seconds",
    "Until when the CRLs are good, the first that ends, when last read.",
    registry=REGISTRY,
)
CERTIFICATE_END = Gauge(
    "espm_certificate_not_after_timestamp_seconds",
    "Until when a certificate of espm's own is good.",
    ["certificate"],
    registry=REGISTRY,
)


def note_request(method: str, route: str, status: str, seconds: float) -> None:
    """Count an answer.

    :param method: as it came; one that no route takes counts as :data:`OTHER`.
    :param route: the pattern of the route, never a path that somebody sent.
    """
    known = method if method in _METHODS else OTHER
    _requests(known, route, status).inc()
    _request_seconds(known, route).observe(seconds)


# Remembered, for the library looks for each anew under a lock; there are no more than routes have
# methods and answers.
_requests = cache(REQUESTS.labels)
_request_seconds = cache(REQUEST_SECONDS.labels)


def note_crl(size: float, entries: float, next_update: datetime | None) -> None:
    """Note what the CRLs are like now: their size in bytes, and until when they are good."""
    CRL_BYTES.set(size)
    CRL_ENTRIES.set(entries)
    CRL_NEXT_UPDATE.set(next_update.timestamp() if next_update else math.nan)


# Nothing is not zero: a CRL that was never read is neither empty nor over.
note_crl(math.nan, math.nan, None)
