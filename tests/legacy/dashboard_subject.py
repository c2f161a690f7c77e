"""A dashboard with some names in it, and espm's classifier on it, for the tests of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from espm.classifier.dashboard import DashboardClassifier
from espm.model import Certname, Classification, Node, NodeState
from tests.legacy.dashboard import Dashboard, legacy_dashboard
from tests.legacy.dashboard_host import OPTIONS, DirectHost

if TYPE_CHECKING:
    from pathlib import Path

WEB = Certname("web1.example.com")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Subject:
    """A classifier, the dashboard it tells, and the way in between."""

    dashboard: Dashboard
    host: DirectHost
    enc: DashboardClassifier

    def node(self) -> dict[str, Any] | None:
        """Return what the dashboard has of the node."""
        return self.dashboard.node(WEB)

    def restarted(self) -> Subject:
        """Return the same dashboard with an espm that knows nothing yet."""
        host = DirectHost(self.dashboard)
        host.external_node = self.host.external_node
        return replace(self, host=host, enc=DashboardClassifier(host, OPTIONS))


def make_subject(directory: Path, version: str = "1.2.11") -> Subject:
    """Return a dashboard with groups and classes, and without nodes."""
    made = legacy_dashboard(directory, version)
    made.add_class("ntp", "ssh::server", "Apache", "espm_withheld")
    made.add_group("web servers", ["apache"])
    made.add_group("DB")
    host = DirectHost(made)
    return Subject(made, host, DashboardClassifier(host, OPTIONS))


def node(version: int = 1, *, generation: int = 5, **said: Any) -> Node:
    """Return an active node of which *said* is said."""
    return Node(
        generation, WEB, "cloud", NodeState.ACTIVE, version, Classification(**said), NOW, NOW
    )


def with_parameters(version: int, **parameters: str) -> Node:
    """Return the node with parameters and nothing else."""
    return node(version, parameters=parameters)
