"""The bodies that requests bring, to the last rule that a schema can tell.

What it can't tell (that a class exists, how deep a value nests) is prose.  The rules are those of
:mod:`espm.names` and :mod:`espm.api.bodies`; a test holds both to each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from espm.api.schema import PLAIN, SHA256, a_list, an_object, or_null, ref
from espm.model import CERTNAME, CERTNAME_LENGTH, NEVER_CERTNAMES
from espm.names import (
    CLASS_NAME,
    ENVIRONMENT_NAME,
    NAME_LENGTH,
    PARAMETER_NAME,
    RESERVED_CLASSES,
    RESERVED_PARAMETERS,
)

if TYPE_CHECKING:
    import re
    from collections.abc import Collection

    from espm.model import Json


def _name(
    pattern: re.Pattern[str], example: str, reserved: Collection[str] = (), most: int = NAME_LENGTH
) -> Json:
    schema: Json = {"type": "string", "pattern": f"^{pattern.pattern}$", "maxLength": most}
    unless: Json = {"not": {"enum": sorted(reserved)}} if reserved else {}
    return schema | unless | {"examples": [example]}


def _values(names: str) -> Json:
    return {
        "type": "object",
        "propertyNames": ref(names),
        "additionalProperties": ref("Value"),
    }


CLASSIFICATION: Json = {
    "environment": or_null(ref("EnvironmentName"))
    | {"description": "Without it the groups' environment counts, else the configured one."},
    "groups": a_list(PLAIN, description="Names of groups, the weakest first."),
    "classes": {
        "description": "The node's own classes with their parameters, or only their names.",
        "anyOf": [ref("Classes"), a_list(ref("ClassName"))],
    },
    "parameters": ref("Parameters"),
}

_OWN_CSR = {
    "csr": PLAIN
    | {"description": "The CSR that is to be signed, PEM; without it espm makes key and CSR."},
    "replace_pending": {
        "type": "boolean",
        "description": "Whether a CSR of that name that waits at the CA is removed first.",
    },
}

_PENDING = {
    "sign_pending": SHA256 | {"description": "SHA-256 of the DER of the CSR that waits at the CA."}
}

REQUEST_SCHEMAS: dict[str, Json] = {
    "Certname": _name(CERTNAME, "web1.example.com", NEVER_CERTNAMES, CERTNAME_LENGTH),
    "EnvironmentName": _name(ENVIRONMENT_NAME, "production"),
    "ClassName": _name(CLASS_NAME, "ntp", RESERVED_CLASSES),
    "ParameterName": _name(PARAMETER_NAME, "servers"),
    "VariableName": _name(PARAMETER_NAME, "role", RESERVED_PARAMETERS),
    "Classes": {
        "type": "object",
        "propertyNames": ref("ClassName"),
        "additionalProperties": _values("ParameterName"),
    },
    "Parameters": _values("VariableName") | {"description": "Top-scope parameters."},
    "Value": {
        "description": "Any JSON value: strings without NUL, integers of at most 64 bits, keys of "
        "at most 1000 characters, at most 32 levels in the whole body.",
        "anyOf": [
            {"type": ["null", "boolean", "number"]},
            PLAIN,
            a_list(ref("Value")),
            {
                "type": "object",
                "propertyNames": PLAIN | {"not": {"const": "<<"}},
                "additionalProperties": ref("Value"),
            },
        ],
    },
    "CertificateOrder": {
        "anyOf": [
            an_object(_OWN_CSR, *_OWN_CSR, additionalProperties=False),
            an_object(_PENDING, additionalProperties=False),
        ],
        "examples": [{}],
    },
    "NewNode": an_object(
        {"certname": ref("Certname"), **CLASSIFICATION, "certificate": ref("CertificateOrder")},
        *CLASSIFICATION,
        "certificate",
        additionalProperties=False,
        examples=[{"certname": "web1.example.com", "groups": ["web"], "certificate": {}}],
    ),
    "Classification": an_object(
        CLASSIFICATION,
        *CLASSIFICATION,
        additionalProperties=False,
        examples=[{"groups": ["web"], "parameters": {"tier": "silver"}}],
    ),
}
