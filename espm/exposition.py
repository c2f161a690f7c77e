"""What Prometheus is told: what espm has counted, and what is asked for at each scrape.

A scrape must not fail when something that it asks is away, for that is when it is looked at.  What
is not known then is left out, and ``espm_up`` says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from espm.metrics import REGISTRY
from espm.model import IntentKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

    from espm.health import Readiness
    from espm.model import Backlog

#: The text format that every Prometheus reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Exposition(Collector):
    """All metrics of this process.

    :ivar readiness: knows ledger, ENC, CA and what is open; it is asked for no more than a moment.
    :ivar failures: returns how many authentications failed, and how many of these were too many.
    :ivar connections: returns how many connections are open.
    """

    readiness: Readiness
    failures: Callable[[], tuple[int, int]]
    connections: Callable[[], int]

    def text(self) -> bytes:
        """Return the metrics as :data:`CONTENT_TYPE`."""
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with its samples."""
        yield from REGISTRY.collect()
        yield self._up()
        if (backlog := self.readiness.backlog) is not None:
            yield from _jobs(backlog)
        failed, throttled = self.failures()
        yield CounterMetricFamily(
            "espm_authentication_failures", "Requests without a known key.", failed
        )
        yield CounterMetricFamily(
            "espm_authentication_throttled", "Those of them that were answered 429.", throttled
        )
        yield GaugeMetricFamily("espm_connections", "Open connections.", self.connections())

    def _up(self) -> Metric:
        up = GaugeMetricFamily("espm_up", "Whether a part that espm needs works.", labels=["part"])
        for part, reason in self.readiness.glance().items():
            up.add_metric([part], float(reason is None))
        return up


def oldest_seconds(backlog: Backlog) -> float | None:
    """Return how long the oldest job that waits was begun ago; None if none waits."""
    if backlog.oldest is None:
        return None
    return max(0.0, (datetime.now(UTC) - backlog.oldest).total_seconds())


def _jobs(backlog: Backlog) -> Iterator[Metric]:
    kinds = GaugeMetricFamily("espm_jobs_open", "Jobs that are not over.", labels=["kind"])
    for kind in IntentKind:
        kinds.add_metric([kind], backlog.open.get(kind, 0))
    yield kinds
    yield GaugeMetricFamily(
        "espm_jobs_waiting", "Jobs that failed and wait for another try.", backlog.waiting
    )
    yield GaugeMetricFamily(
        "espm_jobs_waiting_oldest_seconds",
        "How long ago the oldest of these was begun.",
        oldest_seconds(backlog) or 0.0,
    )
