"""Pieces of JSON Schemas (draft 2020-12), and how a document refers to a named one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from espm.model import Json

TEXT: Json = {"type": "string"}
PLAIN: Json = {"type": "string", "pattern": "^[^\\u0000]*$"}
SHA256: Json = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def ref(name: str) -> Json:
    """Return a reference to the schema *name* of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def an_object(properties: Json, *optional: str, **more: Json) -> Json:
    """Return the schema of an object that has all *properties* but the *optional* ones."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties, **more}


def a_list(items: Json, **more: Json) -> Json:
    """Return the schema of a list of *items*."""
    return {"type": "array", "items": items, **more}


def or_null(schema: Json) -> Json:
    """Return the schema of what *schema* describes or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def pem(what: str) -> Json:
    """Return the schema of a text in PEM."""
    return {"type": "string", "description": what}
