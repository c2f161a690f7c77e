"""Request bodies to values, values to answer bodies.

Every fault of a body is reported at once, each with the path of the member it is about; members
that nobody knows are faults, for a misspelt one would be lost silently.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from espm import names
from espm.errors import InvalidRequest
from espm.model import Certname, Classification
from espm.ordering import Order

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import datetime

    from espm.model import Catalogue, Certificate, Group, Json, Node, Platform
    from espm.nodes import Accepted
    from espm.ordering import Delivery

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CLASSIFICATION = ("environment", "groups", "classes", "parameters")


def new_node(body: Json) -> tuple[Certname, Classification, Order | None]:
    """Return what a POST of a node asks for.

    :raises espm.errors.InvalidCertname: the name is not one.
    :raises espm.errors.InvalidRequest: anything else is wrong; every fault is named.
    """
    _object(body)
    if "certname" not in body:
        _refuse(["'certname' is missing"])
    certname = Certname(body["certname"])
    faults = [*_unknown(body, ("certname", "certificate", *_CLASSIFICATION))]
    faults += _classification_faults(body)
    if "certificate" in body:
        faults += [f"certificate: {fault}" for fault in _order_faults(body["certificate"])]
    _refuse(faults)
    wanted = _order(body["certificate"]) if "certificate" in body else None
    return certname, _classification(body), wanted


def classification(body: Json) -> Classification:
    """Return what a PUT of a node asks for.

    :raises espm.errors.InvalidRequest: every fault is named.
    """
    _object(body)
    _refuse([*_unknown(body, _CLASSIFICATION), *_classification_faults(body)])
    return _classification(body)


def order(body: Json) -> Order:
    """Return what a POST of a certificate asks for.

    :raises espm.errors.InvalidRequest: every fault is named.
    """
    _refuse(list(_order_faults(body)))
    return _order(body)


def platform_body(platform: Platform) -> Json:
    """Return a platform's name and limits; never its keys."""
    limits = platform.limits
    return {
        "platform": platform.name,
        "limits": {name: list(getattr(limits, name)) for name in limits.__slots__},
    }


def group_body(group: Group) -> Json:
    """Return a group as JSON."""
    return {
        "name": group.name,
        "parent": group.parent,
        "environment": group.environment,
        "classes": group.classes,
        "parameters": group.parameters,
    }


def catalogue_body(catalogue: Catalogue, permitted: Callable[[str], bool]) -> Json:
    """Return the classes of a catalogue that are *permitted* as JSON."""
    return {
        "environment": catalogue.environment,
        "classes": [
            {
                "name": name,
                "parameters": [
                    {
                        "name": parameter.name,
                        "type": parameter.type,
                        "default": parameter.default,
                        "required": parameter.required,
                    }
                    for parameter in found.parameters
                ],
            }
            for name, found in sorted(catalogue.classes.items())
            if permitted(name)
        ],
        "unparsable": [
            {"file": path, "message": message}
            for path, message in sorted(catalogue.unparsable.items())
        ],
    }


def node_body(node: Node) -> Json:
    """Return a node as JSON: what the platform said of it, and where it is in its life."""
    said = node.classification
    return {
        "certname": node.certname,
        "state": node.state.value,
        "generation": node.generation,
        "version": node.version,
        "environment": said.environment,
        "groups": list(said.groups),
        "classes": said.classes,
        "parameters": said.parameters,
        "created": time(node.created),
        "updated": time(node.updated),
    }


def accepted_body(accepted: Accepted) -> Json:
    """Return a node that was added or changed, with warnings and its certificate if ordered."""
    body = node_body(accepted.node)
    body["warnings"] = [{"detail": warning} for warning in accepted.warnings]
    if accepted.delivery is not None:
        body["certificate"] = delivery_body(node=accepted.node, delivery=accepted.delivery)
    return body


def certificate_body(certname: str, certificate: Certificate) -> Json:
    """Return a certificate as JSON."""
    issued = certificate.issued
    body = {"certname": certname, "state": certificate.state.value}
    if issued is not None:
        body |= {
            "serial": f"{issued.serial:X}",
            "fingerprint": issued.fingerprint,
            "not_before": time(issued.not_before),
            "not_after": time(issued.not_after),
            "certificate": issued.pem,
        }
    return body


def delivery_body(node: Node, delivery: Delivery) -> Json:
    """Return a new certificate with the CA's bundle, and the private key if espm made it."""
    body = certificate_body(node.certname, delivery.certificate)
    body["ca_bundle"] = delivery.bundle.decode()
    if delivery.private_key is not None:
        body["private_key"] = delivery.private_key.decode()
    return body


def time(when: datetime) -> str:
    """Return a moment, which is in UTC, as the API writes it."""
    # Not strftime: a page of nodes spent a fifth of its time there.
    return f"{when.isoformat(timespec='seconds')[:19]}Z"


def _object(body: Json) -> None:
    if not isinstance(body, dict):
        _refuse(["the body is not a JSON object"])


def _refuse(faults: list[str]) -> None:
    if faults:
        msg = faults[0] if len(faults) == 1 else f"the body has {len(faults)} faults"
        raise InvalidRequest(msg, faults)


def _unknown(body: dict[str, Json], known: Collection[str]) -> Iterator[str]:
    unknown = [name for name in body if name not in known]
    for name, guess in zip(unknown, names.hints(unknown, known), strict=True):
        yield f"{ascii(name)[:80]}: unknown{guess}"


def _classification(body: dict[str, Json]) -> Classification:
    classes = body.get("classes", {})
    return Classification(
        environment=body.get("environment"),
        groups=tuple(dict.fromkeys(body.get("groups", ()))),
        classes=classes if isinstance(classes, dict) else {name: {} for name in classes},
        parameters=body.get("parameters", {}),
    )


def _classification_faults(body: dict[str, Json]) -> Iterator[str]:
    environment = body.get("environment")
    if environment is not None and (fault := names.environment_fault(environment)):
        yield fault
    groups = body.get("groups", [])
    if not isinstance(groups, list) or not all(isinstance(name, str) for name in groups):
        yield "groups: not a list of group names"
    yield from _class_faults(body.get("classes", {}))
    parameters = body.get("parameters", {})
    if not isinstance(parameters, dict):
        yield "parameters: not an object of names and values"
    else:
        yield from filter(None, map(names.parameter_fault, parameters))


def _class_faults(classes: Json) -> Iterator[str]:
    if not isinstance(classes, list | dict):
        yield "classes: not an object of classes with their parameters, nor a list of names"
        return
    yield from filter(None, map(names.class_fault, classes))
    if isinstance(classes, dict):
        for name, parameters in classes.items():
            yield from (f"class {ascii(name)[:80]}: {fault}" for fault in _inner(parameters))


def _inner(parameters: Json) -> Iterator[str]:
    if not isinstance(parameters, dict):
        yield "its parameters are not an object of names and values"
        return
    yield from filter(None, map(names.class_parameter_fault, parameters))


def _order(body: dict[str, Json]) -> Order:
    csr = body.get("csr")
    return Order(
        csr=None if csr is None else csr.encode(),
        sign_pending=body.get("sign_pending"),
        replace_pending=body.get("replace_pending", False),
    )


def _order_faults(body: Json) -> Iterator[str]:
    if not isinstance(body, dict):
        yield "not a JSON object"
        return
    yield from _unknown(body, ("csr", "sign_pending", "replace_pending"))
    if not isinstance(body.get("csr", ""), str):
        yield "csr: not a string (a CSR in PEM)"
    pending = body.get("sign_pending")
    if "sign_pending" in body and not (isinstance(pending, str) and _SHA256.fullmatch(pending)):
        yield "sign_pending: not a SHA-256 in 64 lower-case hex digits"
    if not isinstance(body.get("replace_pending", False), bool):
        yield "replace_pending: neither true nor false"
    if "sign_pending" in body and len(body) > 1:
        yield "sign_pending: goes alone; it neither takes a CSR nor replaces one"
