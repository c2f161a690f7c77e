"""The bodies of answers.  Later versions may add members, so none of them is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from espm.api.schema import SHA256, TEXT, a_list, an_object, or_null, pem, ref
from espm.model import CertificateState, IntentKind, JobState, Limits, NodeState

if TYPE_CHECKING:
    from espm.model import Json

_COUNT = {"type": "integer", "minimum": 1}
_NUMBER = {"type": "integer", "minimum": 0}
_FLAG = {"type": "boolean"}
_TIME = {
    "type": "string",
    "format": "date-time",
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$",
    "examples": ["2026-11-21T04:20:20Z"],
}

_SERIAL = {"type": "string", "pattern": "^[0-9A-F]+$", "description": "Hexadecimal."}

_DETAILS = a_list(an_object({"detail": TEXT}))

_NODE: Json = {
    "certname": ref("Certname"),
    "state": {"enum": [NodeState.ADDING, NodeState.ACTIVE, NodeState.DELETING]},
    "generation": _COUNT | {"description": "Tells two lives of one name apart."},
    "version": _COUNT | {"description": "Grows with every change of the classification."},
    "environment": or_null(ref("EnvironmentName")),
    "groups": a_list(TEXT),
    "classes": ref("Classes"),
    "parameters": ref("Parameters"),
    "created": _TIME,
    "updated": _TIME,
}

_CERTIFICATE: Json = {
    "certname": ref("Certname"),
    "state": {
        "enum": [CertificateState.VALID, CertificateState.REVOKING, CertificateState.REVOKED]
    },
    "serial": _SERIAL,
    "fingerprint": SHA256 | {"description": "SHA-256 of the DER."},
    "not_before": _TIME,
    "not_after": _TIME,
    "certificate": pem("The certificate."),
}

_DELIVERY: Json = {
    **_CERTIFICATE,
    "ca_bundle": pem("The CA's certificates."),
    "private_key": pem("The key, this once, if espm made it."),
}

_JOB: Json = {
    "job": TEXT,
    "kind": {"enum": [kind.value for kind in IntentKind]},
    "certname": ref("Certname"),
    "generation": _COUNT,
    "state": {"enum": [state.value for state in JobState]},
    "attempts": {"type": "integer", "minimum": 0},
    "last_error": or_null(TEXT),
    "created": _TIME,
    "due": or_null(_TIME) | {"description": "When it is tried again."},
    "closed": or_null(_TIME) | {"description": "When it was over."},
    "left": {
        "description": "What is not as it is to be yet.",
        **a_list(
            {
                "anyOf": [
                    an_object({"certificate": or_null(_SERIAL), "state": TEXT}),
                    an_object({"node": ref("Certname"), "state": TEXT}),
                ]
            }
        ),
    },
}

_PART = {
    "anyOf": [
        an_object({"status": {"const": "ok"}}),
        an_object({"status": {"const": "down"}, "reason": TEXT}),
    ]
}

_GROUP = an_object(
    {
        "name": TEXT,
        "parent": or_null(TEXT),
        "environment": or_null(ref("EnvironmentName")),
        "classes": ref("Classes"),
        "parameters": ref("Parameters"),
    }
)

_CLASS_PARAMETER = an_object(
    {
        "name": TEXT,
        "type": or_null(TEXT) | {"description": "The data type as Puppet's code has it."},
        "default": or_null(TEXT) | {"description": "The source text of the default."},
        "required": _FLAG | {"description": "The code has no default; Hiera may have one."},
    }
)

_BACKLOG = or_null(
    an_object(
        {
            "open": _NUMBER,
            "waiting": _NUMBER | {"description": "Those that failed and are tried again."},
            "oldest_seconds": or_null(_NUMBER)
            | {"description": "How long ago the oldest that waits was begun."},
        }
    )
) | {"description": "Jobs in the whole ledger; null while it is away."}

ANSWER_SCHEMAS: dict[str, Json] = {
    "Whoami": an_object(
        {
            "platform": TEXT,
            "limits": an_object({limit: a_list(TEXT) for limit in Limits.__slots__}),
            "espm": TEXT | {"description": "espm's version."},
            "puppet": or_null(TEXT) | {"description": "The version of the CA's server."},
            "backends": {"type": "object", "additionalProperties": TEXT},
            "can": {"type": "object", "additionalProperties": a_list(TEXT)},
        }
    ),
    "Groups": an_object({"groups": a_list(_GROUP)}),
    "Catalogue": an_object(
        {
            "environment": TEXT,
            "classes": a_list(an_object({"name": TEXT, "parameters": a_list(_CLASS_PARAMETER)})),
            "unparsable": a_list(an_object({"file": TEXT, "message": TEXT})),
        }
    ),
    "Node": an_object(_NODE),
    "AcceptedNode": an_object(
        {**_NODE, "warnings": _DETAILS, "certificate": ref("Delivery")}, "certificate"
    ),
    "NodePage": an_object(
        {
            "nodes": a_list(ref("Node")),
            "next": or_null(TEXT) | {"description": "The path of the next page."},
        }
    ),
    "Certificate": an_object(_CERTIFICATE),
    "Delivery": an_object(_DELIVERY, "private_key"),
    "Job": an_object(_JOB),
    "Alive": an_object({"status": {"const": "ok"}}),
    "Readiness": an_object({**dict.fromkeys(("ledger", "enc", "ca"), _PART), "jobs": _BACKLOG}),
    "OpenApi": {"type": "object", "required": ["openapi", "info", "paths"]},
    "Problem": an_object(
        {
            "type": TEXT | {"description": "The path of a page that says what it means."},
            "title": TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": TEXT | {"description": "What happened this time."},
            "instance": TEXT | {"description": "urn:espm:request: and the request's id."},
            "errors": _DETAILS | {"description": "Single faults, where there are some."},
        },
        "instance",
        "errors",
    ),
}
