"""The kinds of problems that a repeat with an Idempotency-Key can meet."""

from __future__ import annotations

from http import HTTPStatus

from espm import errors
from espm.api.kind import Problem

KEY_PROBLEMS: dict[type[errors.EspmError], Problem] = {
    errors.IdempotencyBusy: Problem(
        "idempotency-busy",
        HTTPStatus.CONFLICT,
        "The first request is under way",
        "A request with this Idempotency-Key is being worked on, or is being undone.",
        "Send the same request again after the seconds that 'Retry-After' says.",
    ),
    errors.IdempotencyConflict: Problem(
        "idempotency-conflict",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The Idempotency-Key is another request's",
        "This Idempotency-Key came to this path with another body within the last 24 hours.",
        "Use a new key for each new request, and the same body for each repeat.",
    ),
    errors.IdempotencySpent: Problem(
        "idempotency-spent",
        HTTPStatus.CONFLICT,
        "What was made is gone",
        "The request with this Idempotency-Key was done, and the node was deleted or the "
        "certificate revoked since. A repeat brings neither back.",
        "To make it anew on purpose, send the request with a new key.",
    ),
    errors.KeyDelivered: Problem(
        "key-delivered",
        HTTPStatus.CONFLICT,
        "The private key was delivered",
        "The request with this Idempotency-Key was done. Its answer had a private key, which espm "
        "gives again for 60 seconds at most and then has no more.",
        "Go on with the key of the first answer. If it was lost, DELETE the node's certificate, "
        "then POST a new one with a new Idempotency-Key.",
    ),
}
