"""Pages of a list: what part is wanted, and where the next one is (RFC 8288, rel=next)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from espm.api.bodies import node_body
from espm.api.message import Answer
from espm.errors import InvalidRequest
from espm.model import Certname, NodeState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from espm.model import Node

#: The parameters of a query that ask for a page.
QUERY = ("state", "limit", "after")

#: How many nodes a page has that is not asked for more or fewer, and at most.
USUAL, MOST = 100, 1000

#: The states that a node which is listed may be in.
LISTED = (NodeState.ADDING, NodeState.ACTIVE, NodeState.DELETING)


class Page(NamedTuple):
    """What part of a list is wanted.

    :ivar after: the name behind which it begins.
    """

    state: NodeState | None
    after: Certname | None
    limit: int


def wanted(query: Mapping[str, str]) -> Page:
    """Return what part of the list *query* asks for.

    :raises espm.errors.InvalidRequest: a value is none.
    """
    state, after = query.get("state"), query.get("after")
    return Page(
        None if state is None else _state(state),
        None if after is None else Certname(after),
        _limit(query.get("limit", str(USUAL))),
    )


def answer(page: Page, found: Sequence[Node]) -> Answer:
    """Return *page* of the nodes *found*, which has one more if there is a next page."""
    following = None if len(found) <= page.limit else _path(page, found[page.limit - 1])
    headers = {} if following is None else {"Link": f'<{following}>; rel="next"'}
    rows = [node_body(node) for node in found[: page.limit]]
    return Answer(body={"nodes": rows, "next": following}, headers=headers)


def _path(page: Page, last: Node) -> str:
    state = "" if page.state is None else f"state={page.state}&"
    return f"/v1/nodes?{state}limit={page.limit}&after={last.certname}"


def _limit(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text, re.ASCII) or int(text) > MOST:
        msg = f"limit: not a number from 1 to {MOST}"
        raise InvalidRequest(msg)
    return int(text)


def _state(text: str) -> NodeState:
    if text not in LISTED:
        msg = f"state: not one of {', '.join(LISTED)}"
        raise InvalidRequest(msg)
    return NodeState(text)
