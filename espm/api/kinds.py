"""The kinds of problems: one table from errors to what a caller reads.

The pages of the documentation and of ``/problems/SLUG`` are made of it.
"""

from __future__ import annotations

from http import HTTPStatus

from espm import errors
from espm.api.http_kinds import FRAMING_PROBLEMS, HTTP_PROBLEMS
from espm.api.key_kinds import KEY_PROBLEMS
from espm.api.kind import Problem

_READ_AGAIN = "Correct what 'detail' and 'errors' name and send the request again."
_LATER = "Try again after the seconds that 'Retry-After' says."

INTERNAL = Problem(
    "internal-error",
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "Internal error",
    "espm met something it did not expect. The log has it under the request's id.",
    "Repeat the request once; if it happens again, report it with the lines of the log.",
)

PROBLEMS: dict[type[errors.EspmError], Problem] = {
    **HTTP_PROBLEMS,
    **KEY_PROBLEMS,
    errors.OutsideLimits: Problem(
        "outside-limits",
        HTTPStatus.FORBIDDEN,
        "Outside the platform's limits",
        "The administrator limits what this platform may name; 'detail' says which limit it is.",
        "Ask for something within the limits (GET /v1/whoami lists them), or have the "
        "administrator widen them in the platform's section of espm.ini.",
    ),
    errors.InvalidRequest: Problem(
        "invalid-request",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Invalid request",
        "The body is JSON, but not what this request takes; every fault is in 'errors'.",
        _READ_AGAIN,
    ),
    errors.InvalidCertname: Problem(
        "invalid-certname",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Invalid certname",
        "Puppet's CA would not take this name, or it is the name of a server.",
        "Choose a name by the rule in 'detail'.",
    ),
    errors.InvalidClassification: Problem(
        "invalid-classification",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Invalid classification",
        "Groups, classes or class parameters that do not exist, or groups that contradict each "
        "other.",
        "GET /v1/groups and GET /v1/classes list what there is. " + _READ_AGAIN,
    ),
    errors.EnvironmentUnknown: Problem(
        "environment-unknown",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Unknown environment",
        "Puppet has no environment of that name.",
        "Name an environment that is deployed on the Puppet server.",
    ),
    errors.InvalidCsr: Problem(
        "invalid-csr",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Invalid CSR",
        "The certificate signing request must not be signed; 'detail' says why.",
        "Make a CSR whose only name is the certname, with extensions that the platform's limits "
        "allow and a key of at least RSA 2048 or EC P-256.",
    ),
    errors.NodeUnknown: Problem(
        "node-unknown",
        HTTPStatus.NOT_FOUND,
        "No such node",
        "The platform has no node of that name. Whether somebody else has is not said.",
        "GET /v1/nodes lists the platform's nodes.",
    ),
    errors.CertificateUnknown: Problem(
        "certificate-unknown",
        HTTPStatus.NOT_FOUND,
        "No certificate",
        "The node exists but has no certificate.",
        "POST to this path to get one.",
    ),
    errors.CsrUnknown: Problem(
        "csr-unknown",
        HTTPStatus.CONFLICT,
        "No CSR waits",
        "The CA holds no CSR of that name that could be signed.",
        "Have the agent submit it (puppet ssl submit_request), then repeat the request.",
    ),
    errors.JobUnknown: Problem(
        "job-unknown",
        HTTPStatus.NOT_FOUND,
        "No such job",
        "The platform has no job of that name.",
        "Take the path from 'Location' of the answer 202 that named the job.",
    ),
    errors.CertnameTaken: Problem(
        "certname-taken",
        HTTPStatus.CONFLICT,
        "Certname taken",
        "A node, a certificate of the CA, or another classification has this name.",
        "Choose another name; espm never touches what it did not create.",
    ),
    errors.CertificateExists: Problem(
        "certificate-exists",
        HTTPStatus.CONFLICT,
        "The node has a certificate",
        "A new certificate is only issued after the old one was revoked.",
        "GET it, or DELETE it and then POST again.",
    ),
    errors.CsrPending: Problem(
        "csr-pending",
        HTTPStatus.CONFLICT,
        "A CSR waits",
        "A CSR of that name waits at the CA and blocks another.",
        "Sign it with 'sign_pending' and its fingerprint, read on the instance itself, or remove "
        'it with "replace_pending": true.',
    ),
    errors.CsrMismatch: Problem(
        "csr-mismatch",
        HTTPStatus.CONFLICT,
        "Another CSR waits",
        "The CSR that waits at the CA is not the one whose SHA-256 was given. Somebody else may "
        "have submitted it.",
        'Read the fingerprint on the instance; if the CSR is a stranger\'s, "replace_pending": '
        "true removes it.",
    ),
    errors.NodeBusy: Problem(
        "node-busy",
        HTTPStatus.CONFLICT,
        "The node is busy",
        "Another request changes or deletes this node, or its name is not free yet.",
        "Try again after the seconds that 'Retry-After' says.",
    ),
    errors.VersionMismatch: Problem(
        "version-mismatch",
        HTTPStatus.PRECONDITION_FAILED,
        "The node has changed",
        "'If-Match' names another generation or version than the node has.",
        "GET the node, decide anew, and use its ETag.",
    ),
    errors.TooBusy: Problem(
        "too-busy",
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Too busy",
        "As many requests as may wait for Puppet are waiting already.",
        _LATER,
    ),
    errors.BackendUnavailable: Problem(
        "backend-unavailable",
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Puppet or the ledger is unavailable",
        "A part that espm needs did not answer. A node that was being added is gone again; one "
        "that was being deleted stays in 'deleting', its catalogs withheld.",
        _LATER,
    ),
    errors.BackendRefused: Problem(
        "backend-refused",
        HTTPStatus.BAD_GATEWAY,
        "Puppet refused",
        "A part that espm needs said no. Trying again will not help before somebody acts.",
        "Have the administrator run 'espm check' on the Puppet server; it names the remedy.",
    ),
}

#: Every kind by its slug.
BY_SLUG = {kind.slug: kind for kind in (INTERNAL, *PROBLEMS.values(), *FRAMING_PROBLEMS)}
