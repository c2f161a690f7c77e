"""What each route promises; :mod:`espm.api.routes` joins it to what answers."""

from __future__ import annotations

from espm import errors
from espm.api.faults import PathUnknown
from espm.api.operation import Operation, Success
from espm.exposition import CONTENT_TYPE

_BACKEND = (errors.BackendUnavailable, errors.BackendRefused)
_CHANGING = (*_BACKEND, errors.NodeBusy)
_CHECKING = (errors.InvalidClassification, errors.EnvironmentUnknown)
_SIGNING = (
    errors.InvalidCsr,
    errors.CertnameTaken,
    errors.CsrPending,
    errors.CsrMismatch,
    errors.CsrUnknown,
)
_REPLAYED = ("Idempotency-Replayed",)
_PEM = "application/x-pem-file"
_GOES_ON = Success("It is carried on as a job.", "Job", headers=("Location", "Retry-After"))

WHOAMI = Operation(
    "whoami",
    "platform",
    "The caller's name and limits, versions, backends",
    {200: Success("Who calls, and what there is.", "Whoami")},
)
GROUPS = Operation(
    "listGroups",
    "puppet",
    "The node groups within the platform's limits",
    {200: Success("The groups, by name.", "Groups")},
)
CLASSES = Operation(
    "listClasses",
    "puppet",
    "The classes that Puppet has in an environment",
    {200: Success("The classes, by name.", "Catalogue", headers=("ETag",))},
    (errors.EnvironmentUnknown, *_BACKEND),
    headers=("Cache-Control",),
)
LIST_NODES = Operation(
    "listNodes",
    "nodes",
    "The platform's nodes, by name",
    {200: Success("A page of nodes.", "NodePage", maybe=("Link",))},
    (errors.InvalidCertname, errors.BackendUnavailable),
)
ADD_NODE = Operation(
    "addNode",
    "nodes",
    "Add a node, with a certificate if wanted",
    {
        201: Success(
            "The node is there.", "AcceptedNode", headers=("Location", "ETag"), maybe=_REPLAYED
        )
    },
    (errors.InvalidCertname, *_CHECKING, *_SIGNING, *_CHANGING),
    body="NewNode",
)
GET_NODE = Operation(
    "getNode",
    "nodes",
    "Read a node",
    {200: Success("The node.", "Node", headers=("ETag",))},
    (errors.NodeUnknown, errors.BackendUnavailable),
)
PUT_NODE = Operation(
    "changeNode",
    "nodes",
    "Replace the classification of a node",
    {200: Success("In force at the node's next run.", "AcceptedNode", headers=("ETag",))},
    (errors.NodeUnknown, errors.VersionMismatch, *_CHECKING, *_CHANGING),
    body="Classification",
    headers=("If-Match",),
)
DELETE_NODE = Operation(
    "deleteNode",
    "nodes",
    "Retire a node",
    {
        202: _GOES_ON,
        204: Success("It gets no more catalogs, and its certificate is in the CRL.", None, None),
    },
    (errors.NodeUnknown, errors.VersionMismatch, *_CHANGING),
    headers=("If-Match", "Prefer"),
)
GET_CERTIFICATE = Operation(
    "getCertificate",
    "certificates",
    "The latest certificate of a node",
    {200: Success("The certificate.", "Certificate")},
    (errors.NodeUnknown, errors.CertificateUnknown, errors.BackendUnavailable),
)
ISSUE = Operation(
    "issueCertificate",
    "certificates",
    "Get a certificate for a node that has none",
    {
        201: Success(
            "The certificate, and the key if espm made it.",
            "Delivery",
            headers=("Location",),
            maybe=_REPLAYED,
        )
    },
    (errors.NodeUnknown, errors.CertificateExists, *_SIGNING, *_CHANGING),
    body="CertificateOrder",
)
REVOKE = Operation(
    "revokeCertificate",
    "certificates",
    "Revoke the certificate of a node",
    {202: _GOES_ON, 204: Success("The CRL shows it.", None, None)},
    (errors.NodeUnknown, errors.CertificateUnknown, *_CHANGING),
    headers=("Prefer",),
)
GET_JOB = Operation(
    "getJob",
    "jobs",
    "What goes on after an answer 202",
    {200: Success("The job.", "Job")},
    (errors.JobUnknown, errors.BackendUnavailable),
)
CA = Operation(
    "getCa",
    "puppet",
    "The CA's certificates",
    {200: Success("Concatenated PEM.", None, _PEM, headers=("ETag",))},
    _BACKEND,
)
CRL = Operation(
    "getCrl",
    "puppet",
    "The CRL that agents get",
    {200: Success("Concatenated PEM; can be megabytes.", None, _PEM, headers=("ETag",))},
    _BACKEND,
)
OPENAPI = Operation(
    "getOpenapi",
    "espm",
    "This document",
    {200: Success("OpenAPI 3.1.", "OpenApi", headers=("ETag",))},
)
HEALTHZ = Operation(
    "getHealth",
    "espm",
    "Whether the process answers",
    {200: Success("It does.", "Alive")},
)
READYZ = Operation(
    "getReadiness",
    "espm",
    "Whether ledger, ENC and CA answer",
    {200: Success("All do.", "Readiness"), 503: Success("One does not.", "Readiness")},
)
METRICS = Operation(
    "getMetrics",
    "espm",
    "What espm counts, for Prometheus",
    {200: Success("The metrics.", None, CONTENT_TYPE)},
)
PROBLEM = Operation(
    "getProblem",
    "espm",
    "What a problem means and what to do",
    {200: Success("The page of the problem.", None, "text/plain; charset=utf-8")},
    (PathUnknown,),
)
