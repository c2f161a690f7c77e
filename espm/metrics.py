"""What espm counts, for Prometheus; the names are documented in docs/administration.md.

Counters are the process's own, as is usual with the client library; what the ledger knows better
is asked at each scrape (:mod:`espm.exposition`).
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

#: What is exposed; the library's default registry has things of its own.
REGISTRY = CollectorRegistry()

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
