"""The kinds of problems that a request has as HTTP, here or already at the server's door."""

from __future__ import annotations

from http import HTTPStatus

from espm.api import faults
from espm.api.kind import Problem

HTTP_PROBLEMS = {
    faults.AuthenticationNeeded: Problem(
        "unauthenticated",
        HTTPStatus.UNAUTHORIZED,
        "Not authenticated",
        "The request brought no preshared key, or one that no platform of this espm has.",
        "Send 'Authorization: Bearer KEY' with the key that espm_setup printed.",
    ),
    faults.TooManyFailures: Problem(
        "too-many-failures",
        HTTPStatus.TOO_MANY_REQUESTS,
        "Too many failures",
        "This address sent too many requests without a known preshared key of late. Others behind "
        "it are not hindered: a request with a right key is served all the same.",
        "Look at the key that is sent. Try again after the seconds that 'Retry-After' says.",
    ),
    faults.PathUnknown: Problem(
        "path-unknown",
        HTTPStatus.NOT_FOUND,
        "No such path",
        "There is nothing at this path.",
        "Compare the path with the documentation of the API.",
    ),
    faults.MethodRefused: Problem(
        "method-not-allowed",
        HTTPStatus.METHOD_NOT_ALLOWED,
        "Method not allowed",
        "The path exists, but not for this method.",
        "Use one of the methods in the header 'Allow'.",
    ),
    faults.MediaTypeRefused: Problem(
        "unsupported-media-type",
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "Unsupported media type",
        "Bodies are JSON.",
        "Send the body as JSON with 'Content-Type: application/json'.",
    ),
    faults.LengthMissing: Problem(
        "length-required",
        HTTPStatus.LENGTH_REQUIRED,
        "Length required",
        "A body came without Content-Length.",
        "Send Content-Length; chunked bodies are not taken.",
    ),
    faults.BodyTooLarge: Problem(
        "body-too-large",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "Body too large",
        "The body is larger than espm takes; no classification needs that much.",
        "Send less; the limit is in 'detail'.",
    ),
    faults.NotJson: Problem(
        "not-json",
        HTTPStatus.BAD_REQUEST,
        "Not JSON",
        "The body can't be read as JSON (RFC 8259), or nests too deep.",
        "Send valid JSON in UTF-8; NaN, Infinity and repeated names are not.",
    ),
}

#: What :mod:`espm.server.framing` answers before the application sees anything.
FRAMING_PROBLEMS = (
    Problem(
        "malformed-request",
        HTTPStatus.BAD_REQUEST,
        "Malformed request",
        "The octets are not one plain HTTP/1.1 request: a header that two programs could read "
        "differently, a control character, a request line that is none, or no TLS.",
        "Use an HTTP library as it comes; 'detail' says what was odd.",
    ),
    Problem(
        "target-too-long",
        HTTPStatus.REQUEST_URI_TOO_LONG,
        "Request target too long",
        "The request line is longer than any path of this API.",
        "Shorten the path or the query.",
    ),
    Problem(
        "headers-too-large",
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "Headers too large",
        "The headers are larger than espm takes, or more than a hundred.",
        "Send fewer or shorter headers.",
    ),
    Problem(
        "expectation-failed",
        HTTPStatus.EXPECTATION_FAILED,
        "Expectation failed",
        "The header 'Expect' asks for something other than 100-continue.",
        "Leave the header out.",
    ),
    Problem(
        "method-not-implemented",
        HTTPStatus.NOT_IMPLEMENTED,
        "Method not implemented",
        "TRACE, CONNECT and names of more than 32 letters are not taken anywhere.",
        "Use a method that the path takes.",
    ),
    Problem(
        "http-version-not-supported",
        HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
        "HTTP version not supported",
        "The request is neither HTTP/1.1 nor HTTP/1.0.",
        "Use HTTP/1.1.",
    ),
)
