"""Errors as RFC 9457 problem documents.

``type`` is the path of a page that the daemon itself serves (RFC 9457, 3.1.1), so a reader of an
answer is one GET away from what it means and what to do.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from espm import errors
from espm.api.faults import MethodRefused, TooManyFailures
from espm.api.kinds import INTERNAL, PROBLEMS

if TYPE_CHECKING:
    from espm.api.kind import Problem
    from espm.model import Json

log = logging.getLogger(__name__)


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
    if isinstance(error, TooManyFailures):
        return {"Retry-After": str(error.retry_after)}
    if problem.status is HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": 'Bearer realm="espm"'}
    if problem.status is HTTPStatus.SERVICE_UNAVAILABLE:
        return {"Retry-After": "10"}
    busy = errors.NodeBusy | errors.IdempotencyBusy
    return {"Retry-After": "2"} if isinstance(error, busy) else {}


def _log(problem: Problem, error: BaseException) -> None:
    if problem is INTERNAL:
        log.error("unexpected error", exc_info=error)
    elif problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s: %s", problem.slug, errors.causes(error))
    else:
        log.info("%s: %s", problem.slug, error)
