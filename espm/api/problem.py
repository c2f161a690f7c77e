"""Errors as RFC 9457 problem documents: the one place that knows HTTP statuses for errors.

``type`` is the path of a page that the daemon itself serves (RFC 9457, 3.1.1), so a reader of an
answer is one GET away from what it means and what to do.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from espm import errors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from espm.model import Json

log = logging.getLogger(__name__)


class HttpFault(errors.EspmError):
    """The request is wrong as HTTP, before anybody looks at what it wants."""


class PathUnknown(HttpFault):
    """There is nothing at this path."""


class MethodRefused(HttpFault):
    """The path does not know this method.

    :param allowed: the methods it knows.
    """

    def __init__(self, method: str, allowed: Iterable[str]) -> None:
        self.allow = ", ".join(sorted(allowed))
        super().__init__(f"{method} is not for this path; it takes {self.allow}")


class MediaTypeRefused(HttpFault):
    """The body is not ``application/json``."""


class LengthMissing(HttpFault):
    """A body came without Content-Length."""


class BodyTooLarge(HttpFault):
    """The body is larger than espm takes."""


class NotJson(HttpFault):
    """The body is not JSON."""


class AuthenticationNeeded(errors.Unauthenticated):
    """No known preshared key came with the request."""

    def __init__(self) -> None:
        super().__init__(
            "send the preshared key that espm_setup printed, as 'Authorization: Bearer KEY'"
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """A kind of problem, as its page tells it.

    :ivar slug: the end of its ``type``.
    :ivar meaning: what happened, one or two sentences.
    :ivar remedy: what to do about it.
    """

    slug: str
    status: HTTPStatus
    title: str
    meaning: str
    remedy: str

    @property
    def type(self) -> str:
        """The path of its page."""
        return f"/problems/{self.slug}"


def of(error: BaseException) -> Problem:
    """Return the kind of problem that *error* is."""
    return next((PROBLEMS[cls] for cls in type(error).__mro__ if cls in PROBLEMS), INTERNAL)


def document(error: BaseException, request_id: str) -> tuple[int, Json, dict[str, str]]:
    """Return status, problem document and extra headers for *error*, having logged it.

    What is not an :exc:`~espm.errors.EspmError` tells the caller nothing but the request id.
    """
    problem = of(error)
    _log(problem, error)
    known = problem is not INTERNAL
    body = {
        "type": problem.type,
        "title": problem.title,
        "status": int(problem.status),
        "detail": str(error) if known else "see the log of espm for this request",
        "instance": f"urn:espm:request:{request_id}",
    }
    faults = getattr(error, "faults", ())
    if known and faults:
        body["errors"] = [{"detail": fault} for fault in faults]
    return int(problem.status), body, _headers(problem, error)


def page(problem: Problem) -> str:
    """Return what the problem means and what to do, as plain text."""
    return (
        f"{problem.title} ({int(problem.status)} {problem.status.phrase})\n\n"
        f"{problem.meaning}\n\nWhat to do: {problem.remedy}\n"
    )


def _headers(problem: Problem, error: BaseException) -> dict[str, str]:
    if isinstance(error, MethodRefused):
        return {"Allow": error.allow}
    if problem.status is HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": 'Bearer realm="espm"'}
    if problem.status is HTTPStatus.SERVICE_UNAVAILABLE:
        return {"Retry-After": "10"}
    return {"Retry-After": "2"} if isinstance(error, errors.NodeBusy) else {}


def _log(problem: Problem, error: BaseException) -> None:
    if problem is INTERNAL:
        log.error("unexpected error", exc_info=error)
    elif problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s: %s", problem.slug, error, exc_info=error.__cause__)
    else:
        log.info("%s: %s", problem.slug, error)


_READ_AGAIN = "Correct what 'detail' and 'errors' name and send the request again."
_LATER = "Try again after the seconds that 'Retry-After' says; nothing was left half done."

INTERNAL = Problem(
    "internal-error",
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "Internal error",
    "espm met something it did not expect. The log has it under the request's id.",
    "Repeat the request once; if it happens again, report it with the lines of the log.",
)

PROBLEMS: dict[type[errors.EspmError], Problem] = {
    AuthenticationNeeded: Problem(
        "unauthenticated",
        HTTPStatus.UNAUTHORIZED,
        "Not authenticated",
        "The request brought no preshared key, or one that no platform of this espm has.",
        "Send 'Authorization: Bearer KEY' with the key that espm_setup printed.",
    ),
    errors.OutsideLimits: Problem(
        "outside-limits",
        HTTPStatus.FORBIDDEN,
        "Outside the platform's limits",
        "The administrator limits what this platform may name; 'detail' says which limit it is.",
        "Ask for something within the limits (GET /v1/whoami lists them), or have the "
        "administrator widen them in the platform's section of espm.ini.",
    ),
    PathUnknown: Problem(
        "path-unknown",
        HTTPStatus.NOT_FOUND,
        "No such path",
        "There is nothing at this path.",
        "Compare the path with the documentation of the API.",
    ),
    MethodRefused: Problem(
        "method-not-allowed",
        HTTPStatus.METHOD_NOT_ALLOWED,
        "Method not allowed",
        "The path exists, but not for this method.",
        "Use one of the methods in the header 'Allow'.",
    ),
    MediaTypeRefused: Problem(
        "unsupported-media-type",
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "Unsupported media type",
        "Bodies are JSON.",
        "Send the body as JSON with 'Content-Type: application/json'.",
    ),
    LengthMissing: Problem(
        "length-required",
        HTTPStatus.LENGTH_REQUIRED,
        "Length required",
        "A body came without Content-Length.",
        "Send Content-Length; chunked bodies are not taken.",
    ),
    BodyTooLarge: Problem(
        "body-too-large",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "Body too large",
        "The body is larger than espm takes; no classification needs that much.",
        "Send less; the limit is in 'detail'.",
    ),
    NotJson: Problem(
        "not-json",
        HTTPStatus.BAD_REQUEST,
        "Not JSON",
        "The body can't be read as JSON (RFC 8259), or nests too deep.",
        "Send valid JSON in UTF-8; NaN, Infinity and repeated names are not.",
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
    errors.RevocationUnproven: Problem(
        "revocation-unproven",
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Revocation not proved yet",
        "The certificate was ordered revoked, but the CRL does not show it. The node stays in "
        "'deleting', its catalogs withheld.",
        "Repeat the DELETE later; have the administrator look at the log if it stays so.",
    ),
}
