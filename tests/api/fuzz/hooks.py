"""What schemathesis must be told of espm's world, or nearly every request would end at its door.

Loaded by schemathesis (``hooks`` in schemathesis.toml), not by pytest.  Names that are right by
themselves are exchanged for names that exist, most of the time; wrong ones stay as they are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from zlib import crc32

import schemathesis
from schemathesis.generation.meta import TestPhase
from schemathesis.openapi.checks import IgnoredAuth, MissingHeaderNotRejected

from espm.errors import InvalidCertname
from espm.model import Certname
from espm.names import class_fault, class_parameter_fault
from tests.api.test_certificates import make_csr

if TYPE_CHECKING:
    from schemathesis.core.failures import Failure

AnyCase = schemathesis.Case[Any]
AnyResponse = schemathesis.Response

CLASSES = {"ntp": ["servers"], "profile::web": ["docroot"]}
GROUPS = ["base", "web", "staging"]
NAMES = [f"node{number}.example.com" for number in range(6)]

KEYS = [f"key-{number}" for number in range(20)]

#: Why a request that is right by the schemas may be refused: what only Puppet, the CA or the
#: ledger can tell.
BEYOND_SCHEMAS = {
    "environment-unknown",
    "idempotency-conflict",
    "invalid-certname",
    "invalid-classification",
    "invalid-csr",
}


@schemathesis.hook
def map_case(context: schemathesis.HookContext, case: AnyCase) -> AnyCase:
    """Let most requests be about what exists; those for coverage are to be sent as they are."""
    if case.meta is not None and case.meta.phase.name == TestPhase.COVERAGE:
        return case
    path: Any = case.path_parameters or {}
    headers: Any = case.headers or {}
    if "certname" in path:
        path["certname"] = _certname(path["certname"])
    if isinstance(headers.get("Idempotency-Key"), str):
        headers["Idempotency-Key"] = _picked(headers["Idempotency-Key"], KEYS)
    if isinstance(case.body, dict):
        _exchange(case.body, path.get("certname"))
    return case


@schemathesis.hook
def filter_failure(
    context: schemathesis.HookContext, failure: Failure, case: AnyCase, response: AnyResponse
) -> bool:
    """Whoever tries without a key as often as schemathesis does is told to wait, not 401."""
    about_keys = isinstance(failure, IgnoredAuth | MissingHeaderNotRejected)
    return not (about_keys and re.search(r"\b[Gg]ot `?429 ", failure.message))


@schemathesis.check
def is_refused_for_a_reason(
    ctx: schemathesis.CheckContext, response: AnyResponse, case: AnyCase
) -> None:
    """What the schema takes is refused for nothing that a schema can tell."""
    positive = case.meta is not None and case.meta.generation.mode.is_positive
    if positive and response.status_code == 422:
        slug = response.json()["type"].removeprefix("/problems/")
        assert slug in BEYOND_SCHEMAS, f"the schema allows it, espm does not: {response.text}"


def _picked(text: str, choices: list[str]) -> str:
    """Return one of *choices*, the same for the same text; a quarter of all texts stay."""
    number = crc32(text.encode())
    return text if number % 4 == 0 else choices[number // 4 % len(choices)]


def _certname(name: Any) -> Any:
    try:
        Certname(name)
    except InvalidCertname:
        return name
    return _picked(name, NAMES)


def _exchange(body: dict[str, Any], certname: Any) -> None:
    """Exchange the names in *body*, and its CSR for one that fits."""
    if "certname" in body:
        body["certname"] = certname = _certname(body["certname"])
    if isinstance(body.get("groups"), list):
        body["groups"] = [_group(name) for name in body["groups"]]
    if "classes" in body:
        body["classes"] = _classes(body["classes"])
    for order in (body, body.get("certificate")):
        if isinstance(order, dict) and isinstance(order.get("csr"), str):
            order["csr"] = _csr(order["csr"], str(certname))


def _group(name: Any) -> Any:
    return _picked(name, GROUPS) if isinstance(name, str) and name.isprintable() else name


def _classes(classes: Any) -> Any:
    if isinstance(classes, list):
        return [_class(name, {})[0] for name in classes]
    if isinstance(classes, dict):
        return _unless_lost(classes, dict(_class(*each) for each in classes.items()))
    return classes


def _unless_lost(given: dict[str, Any], exchanged: dict[str, Any]) -> dict[str, Any]:
    """Return *exchanged*, unless two names became one and took a wrong value along."""
    return exchanged if len(exchanged) == len(given) else given


def _class(name: Any, parameters: Any) -> tuple[Any, Any]:
    if class_fault(name):
        return name, parameters
    found = _picked(name, list(CLASSES))
    if isinstance(parameters, dict) and found in CLASSES:
        picked = {
            key if class_parameter_fault(key) else _picked(key, CLASSES[found]): value
            for key, value in parameters.items()
        }
        parameters = _unless_lost(parameters, picked)
    return found, parameters


def _csr(text: str, certname: str) -> str:
    if "\0" in text or crc32(text.encode()) % 4 == 0:
        return text
    try:
        return make_csr(certname).decode()
    except ValueError:
        return text
