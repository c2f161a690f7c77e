"""The answers that tell of something made: 201, where it is, the private key if espm made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from espm.api import bodies
from espm.api.message import Answer

if TYPE_CHECKING:
    from espm.model import Node
    from espm.nodes import Accepted
    from espm.ordering import Delivery


def node(accepted: Accepted) -> Answer:
    """Return the answer to a POST of a node."""
    added, delivery = accepted.node, accepted.delivery
    headers = {"Location": f"/v1/nodes/{added.certname}", "ETag": added.etag}
    return Answer(201, bodies.accepted_body(accepted), headers, secret=_secret(delivery))


def certificate(of: Node, delivery: Delivery) -> Answer:
    """Return the answer to a POST of a certificate."""
    headers = {"Location": f"/v1/nodes/{of.certname}/certificate"}
    return Answer(201, bodies.delivery_body(of, delivery), headers, secret=_secret(delivery))


def _secret(delivery: Delivery | None) -> bool:
    return delivery is not None and delivery.private_key is not None
