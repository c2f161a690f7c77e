"""What Puppet Server's answer on an environment's classes says.

The answer lists files, each with the classes in it or with the error that stopped the parser
("Environment classes", puppetserver documentation)::

    {"name": "production", "files": [
      {"path": "/etc/.../modules/ntp/manifests/init.pp", "classes": [{"name": "ntp", "params": [
        {"name": "servers", "type": "Array[String]", "default_source": "['pool.ntp.org']"}]}]},
      {"path": "/etc/.../manifests/site.pp", "error": "Syntax error at ..."}]}

Where the code lies on the server is nobody's business but the server's: of a path, callers see
the module's (or environment's) name and what follows it, and the same in messages.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from espm.errors import BackendUnavailable
from espm.model import Catalogue, ClassParameter, PuppetClass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from espm.model import Json

#: Characters of an error's message that are kept.
MESSAGE = 500

_REFERENCE = re.compile(r"TypeReference\['([^']+)'\]")
_INSIDE = re.compile(r".*/([^/]+/manifests/.*)")
_WHERE = re.compile(r"(?:/[^\s:,()'\"]*)?/([^\s:,()'\"/]+/(?:manifests|functions|types|plans)/)")


def catalogue(environment: str, answer: Json) -> Catalogue:
    """Return the catalogue that Puppet Server's *answer* describes.

    :raises espm.errors.BackendUnavailable: the answer is of another kind.
    """
    try:
        files = answer["files"]
        classes = {found.name: found for found in _classes(files)}
        unparsable = {
            _short(_text(file["path"])): _message(file) for file in files if "error" in file
        }
    except (KeyError, TypeError, AttributeError) as exc:
        msg = "Puppet Server's answer on its classes can't be understood"
        raise BackendUnavailable(msg) from exc
    ordered = {name: classes[name] for name in sorted(classes)}
    return Catalogue(environment, ordered, unparsable, _etag(ordered, unparsable))


def _classes(files: Iterable[Json]) -> Iterable[PuppetClass]:
    for file in files:
        for found in file.get("classes", ()):
            parameters = tuple(_parameter(entry) for entry in found["params"])
            yield PuppetClass(_text(found["name"]), parameters)


def _parameter(entry: Json) -> ClassParameter:
    """Return a parameter; its default as source text, which every default has."""
    source = entry.get("default_source")
    if source is None and "default_literal" in entry:
        source = json.dumps(entry["default_literal"])
    kind = entry.get("type")
    return ClassParameter(
        name=_text(entry["name"]),
        # As the code has it; the server marks names that it did not look up.
        type=None if kind is None else _REFERENCE.sub(r"\1", _text(kind)),
        default=None if source is None else _text(source),
        required=source is None,
    )


def _text(value: Json) -> str:
    """Return a text; half characters, which JSON can write and nothing can hold, replaced.

    :raises TypeError: it is none.
    """
    if not isinstance(value, str):
        msg = f"not a text: {value!r:.80}"
        raise TypeError(msg)
    return value.encode("utf-8", "replace").decode()


def _message(file: Json) -> str:
    path = _text(file["path"])
    message = _WHERE.sub(r"\1", _text(file["error"]))
    return message.replace(path, path.rpartition("/")[2])[:MESSAGE]


def _short(path: str) -> str:
    """Return the part of a file's path that the authors of the code know."""
    found = _INSIDE.search(path)
    return found[1] if found else path.rpartition("/")[2]


def _etag(classes: dict[str, PuppetClass], unparsable: dict[str, str]) -> str:
    content = [
        [found.name, [[p.name, p.type, p.default, p.required] for p in found.parameters]]
        for found in classes.values()
    ]
    text = json.dumps([content, sorted(unparsable.items())])
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
