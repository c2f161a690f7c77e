"""One function for each request: parse, call one use case, render.

No handler catches anything; :mod:`espm.api.problem` renders what is raised.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import espm
from espm import certificates, exposition, limits, nodes
from espm.api import bodies, created, jobs, kinds, paging, problem
from espm.api.class_lists import ClassLists
from espm.api.faults import PathUnknown
from espm.api.message import Answer, entity_tag
from espm.errors import InvalidCertname, NodeUnknown
from espm.model import Certname, Classification

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from espm.api.message import Request
    from espm.exposition import Exposition
    from espm.health import Readiness
    from espm.model import Json
    from espm.ports import Ports

_PEM = "application/x-pem-file"


class Backend(NamedTuple):
    """What stands behind a port.

    :ivar can: what platforms may ask of it.
    """

    name: str
    can: Sequence[str]


@dataclass(frozen=True, slots=True)
class Handlers:
    """The requests of the API; each method answers one route.

    :ivar backends: which backends are configured, for whoami.
    """

    ports: Ports
    readiness: Readiness
    backends: Mapping[str, Backend]
    exposition: Exposition
    class_lists: ClassLists = field(default_factory=ClassLists)

    def whoami(self, request: Request) -> Answer:
        """GET /v1/whoami."""
        return Answer(
            body={
                **bodies.platform_body(request.platform),
                "espm": espm.__version__,
                "puppet": self.readiness.puppet_version(),
                "backends": {port: each.name for port, each in self.backends.items()},
                "can": {port: list(each.can) for port, each in self.backends.items()},
            }
        )

    def groups(self, request: Request) -> Answer:
        """GET /v1/groups."""
        globs = request.platform.limits.groups
        offered = self.ports.classifier.groups()
        found = [group for group in offered if limits.allows(group.name, globs)]
        return Answer(body={"groups": [bodies.group_body(group) for group in found]})

    def classes(self, request: Request) -> Answer:
        """GET /v1/classes?environment=E."""
        default = self.ports.classifier.resolve(Classification()).environment
        environment = request.query.get("environment", default)
        limits.permit_environment(request.platform, environment)
        fresh = "no-cache" in request.headers.get("cache-control", "").lower()
        catalogue = self.ports.catalogue.classes(environment, max_age=0 if fresh else None)
        found = self.class_lists.of(catalogue, request.platform.limits.classes)
        return Answer(body=found.body, headers={"ETag": found.etag})

    def add_node(self, request: Request) -> Answer:
        """POST /v1/nodes."""
        certname, classification, order = bodies.new_node(request.body())
        accepted = nodes.add_node(
            request.platform,
            certname,
            classification,
            self.ports,
            order=order,
            request_id=request.request_id,
        )
        return created.node(accepted)

    def list_nodes(self, request: Request) -> Answer:
        """GET /v1/nodes?state=S&limit=N&after=NAME."""
        page = paging.wanted(request.query)
        found = nodes.list_nodes(
            request.platform, self.ports, state=page.state, after=page.after, limit=page.limit + 1
        )
        return paging.answer(page, found)

    def get_node(self, request: Request) -> Answer:
        """GET /v1/nodes/NAME."""
        node = nodes.find_node(request.platform, _name(request), self.ports)
        return Answer(body=bodies.node_body(node), headers={"ETag": node.etag})

    def put_node(self, request: Request) -> Answer:
        """PUT /v1/nodes/NAME."""
        accepted = nodes.change_node(
            request.platform,
            _name(request),
            bodies.classification(request.body()),
            self.ports,
            if_match=request.if_match,
            request_id=request.request_id,
        )
        return Answer(body=bodies.accepted_body(accepted), headers={"ETag": accepted.node.etag})

    def delete_node(self, request: Request) -> Answer:
        """DELETE /v1/nodes/NAME."""
        job = nodes.delete_node(
            request.platform,
            _name(request),
            self.ports,
            if_match=request.if_match,
            request_id=request.request_id,
            patience=request.patience,
        )
        return Answer(204) if job is None else jobs.accepted(job)

    def issue(self, request: Request) -> Answer:
        """POST /v1/nodes/NAME/certificate."""
        certname = _name(request)
        node = nodes.find_node(request.platform, certname, self.ports)
        delivery = certificates.issue(
            request.platform,
            certname,
            bodies.order(request.body()),
            self.ports,
            request_id=request.request_id,
        )
        return created.certificate(node, delivery)

    def get_certificate(self, request: Request) -> Answer:
        """GET /v1/nodes/NAME/certificate."""
        certname = _name(request)
        certificate = certificates.find(request.platform, certname, self.ports)
        return Answer(body=bodies.certificate_body(certname, certificate))

    def revoke(self, request: Request) -> Answer:
        """DELETE /v1/nodes/NAME/certificate."""
        job = certificates.revoke(
            request.platform,
            _name(request),
            self.ports,
            request_id=request.request_id,
            patience=request.patience,
        )
        return Answer(204) if job is None else jobs.accepted(job)

    def get_job(self, request: Request) -> Answer:
        """GET /v1/jobs/ID."""
        job = self.ports.ledger.job(request.platform.name, request.path["ident"])
        return Answer(body=jobs.job_body(job))

    def ca(self, _: Request) -> Answer:
        """GET /v1/ca."""
        return _pem(self.ports.ca.bundle())

    def crl(self, _: Request) -> Answer:
        """GET /v1/crl."""
        return _pem(self.ports.ca.crl())

    def healthz(self, _: Request) -> Answer:
        """GET /healthz: the process answers."""
        return Answer(body={"status": "ok"})

    def readyz(self, _: Request) -> Answer:
        """GET /readyz: ledger, ENC and CA answer; each with its reason."""
        reasons = self.readiness.glance()
        body: dict[str, Json] = {
            name: {"status": "ok"} if reason is None else {"status": "down", "reason": reason}
            for name, reason in reasons.items()
        }
        body["jobs"] = jobs.backlog_body(self.readiness.backlog)
        return Answer(503 if any(reasons.values()) else 200, body)

    def metrics(self, _: Request) -> Answer:
        """GET /metrics: for Prometheus."""
        return Answer(body=self.exposition.text(), content_type=exposition.CONTENT_TYPE)

    def problem(self, request: Request) -> Answer:
        """GET /problems/SLUG: what a problem means and what to do."""
        kind = kinds.BY_SLUG.get(request.path["slug"])
        if kind is None:
            msg = "there is no problem of that name"
            raise PathUnknown(msg)
        return Answer(body=problem.page(kind).encode(), content_type="text/plain; charset=utf-8")


def _name(request: Request) -> Certname:
    """Return the name in the path; one that can't be a node's is simply not there."""
    return _or_unknown(request.path["certname"])


def _or_unknown(name: str) -> Certname:
    try:
        return Certname(name)
    except InvalidCertname:
        msg = "the platform has no node of that name"
        raise NodeUnknown(msg) from None


def _pem(pem: bytes) -> Answer:
    return Answer(body=pem, headers={"ETag": entity_tag(pem)}, content_type=_PEM)
