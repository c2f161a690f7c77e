"""What Prometheus and operators see: /metrics, and the jobs in /readyz."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from espm.api.routes import ROUTES
from espm.errors import BackendUnavailable
from tests.api.test_nodes import slug

if TYPE_CHECKING:
    from tests.api.platform import Client, Espm

NAME = "web1.example.com"


def samples(client: Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return every sample of a scrape by name and labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(found: Any, name: str, **labels: str) -> float | None:
    """Return one sample; None if it is not there."""
    sample: float | None = found.get((name, frozenset(labels.items())))
    return sample


def left(espm: Espm, cloud: Client) -> None:
    """Leave a deletion that waits for a CA that is away."""
    cloud.add(NAME, certificate={})
    for call in ("certificate", "revoke"):
        espm.ca.fail_before[call] = BackendUnavailable("the CA is away")
    cloud.call("DELETE", f"/v1/nodes/{NAME}", headers={"Prefer": "wait=0"})


def test_metrics_need_a_key(espm: Espm, cloud: Client) -> None:
    """They tell of all platforms together, so only a platform sees them, whatever it asks."""
    stranger = espm.client(psk=None)

    assert {slug(stranger.call(method, "/metrics")) for method in ("GET", "POST")} == {
        "unauthenticated"
    }
    assert cloud.get("/metrics").headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert cloud.call("HEAD", "/metrics").content == b""
    assert slug(cloud.call("POST", "/metrics")) == "method-not-allowed"


def test_requests_are_counted_by_route(cloud: Client) -> None:
    """The label is the route's pattern, so names of nodes are in no label."""
    route = {"method": "GET", "route": "/v1/nodes/{certname}"}
    before = value(samples(cloud), "espm_requests_total", status="404", **route) or 0
    for name in ("a.example.com", "b.example.com"):
        cloud.get(f"/v1/nodes/{name}")
    found = samples(cloud)

    assert value(found, "espm_requests_total", status="404", **route) == before + 2
    assert (value(found, "espm_request_seconds_count", **route) or 0) >= 2
    assert not any("a.example.com" in str(key) for key in found)


def test_what_strangers_make_up_is_no_label(espm: Espm, cloud: Client) -> None:
    """Unknown paths and methods share a label, so that nobody fills the memory."""
    stranger = espm.client(psk=None)
    for number in range(5):
        stranger.get(f"/made/up/{number}")
        stranger.call(f"MADE{number}", "/healthz")
        stranger.get(f"/v1/{number}")
    found = samples(cloud)
    routes, methods = (
        {dict(labels)[label] for _, labels in found if label in dict(labels)}
        for label in ("route", "method")
    )

    assert routes <= {route.path for route in ROUTES} | {"other"}
    assert methods <= {"GET", "HEAD", "POST", "PUT", "DELETE", "other"}


def test_jobs_that_wait_are_seen(espm: Espm, cloud: Client) -> None:
    """How many are open, by kind, how many wait, and since when."""
    none = samples(cloud)
    left(espm, cloud)
    found, ready = samples(cloud), espm.client(psk=None).get("/readyz").json()

    assert value(none, "espm_jobs_open", kind="delete") == 0
    assert value(none, "espm_jobs_waiting") == value(none, "espm_jobs_waiting_oldest_seconds") == 0
    assert value(found, "espm_jobs_open", kind="delete") == 1
    assert value(found, "espm_jobs_open", kind="add") == 0
    assert value(found, "espm_jobs_waiting") == 1
    assert 0 < (value(found, "espm_jobs_waiting_oldest_seconds") or 0) < 60
    assert ready["jobs"] == {"open": 1, "waiting": 1, "oldest_seconds": 0}


def test_jobs_do_not_decide_readiness(espm: Espm, cloud: Client) -> None:
    """A job that waits is no reason to send requests elsewhere: there is nobody else."""
    stranger = espm.client(psk=None)
    empty = stranger.get("/readyz").json()["jobs"]
    left(espm, cloud)

    assert empty == {"open": 0, "waiting": 0, "oldest_seconds": None}
    assert stranger.get("/readyz").status_code == 200


def test_a_ledger_that_is_away_fails_no_scrape(
    espm: Espm, cloud: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said to be down, and what only it knows is left out instead of being wrong."""

    def away() -> None:
        msg = "the ledger is away"
        raise BackendUnavailable(msg)

    up = samples(cloud)
    monkeypatch.setattr(espm.ledger, "ping", away)
    down, ready = samples(cloud), espm.client(psk=None).get("/readyz")

    assert [value(up, "espm_up", part=part) for part in ("ledger", "enc", "ca")] == [1, 1, 1]
    assert [value(down, "espm_up", part=part) for part in ("ledger", "enc", "ca")] == [0, 1, 1]
    assert value(down, "espm_jobs_waiting") is None
    assert value(down, "espm_jobs_open", kind="add") is None
    assert (ready.status_code, ready.json()["jobs"]) == (503, None)


@pytest.mark.timing
def test_failed_authentications_are_counted(espm: Espm, cloud: Client) -> None:
    """Those that were too many are counted apart, too."""
    stranger = espm.client("wrong")
    for _ in range(12):
        stranger.get("/v1/whoami")
    found = samples(cloud)

    assert value(found, "espm_authentication_failures_total") == 12
    assert value(found, "espm_authentication_throttled_total") == 2


def test_the_crl_is_described_once_it_was_read(espm: Espm, cloud: Client) -> None:
    """Size, entries and end are those of the CRL that proved a revocation."""
    cloud.add(NAME, certificate={})
    assert cloud.call("DELETE", f"/v1/nodes/{NAME}").status_code == 204
    found = samples(cloud)

    assert value(found, "espm_crl_entries") == 1
    assert (value(found, "espm_crl_bytes") or 0) > 100
    assert (value(found, "espm_crl_next_update_timestamp_seconds") or 0) > 1_700_000_000


def test_the_process_and_its_version_are_described(cloud: Client) -> None:
    """What every exporter has: memory, open files, and which version runs."""
    text = cloud.get("/metrics").text

    assert re.search(r'(?m)^espm_build_info\{version="[^"]+"\} 1\.0$', text)
    assert re.search(r"(?m)^process_resident_memory_bytes [1-9]", text)
    assert re.search(r"(?m)^process_open_fds [1-9]", text)
