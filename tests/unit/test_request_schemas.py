"""The schemas of requests say of a body what espm says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from espm.api import bodies
from espm.errors import InvalidRequest
from espm.names import RESERVED_CLASSES, RESERVED_PARAMETERS
from tests.api.contract import faults

if TYPE_CHECKING:
    from collections.abc import Callable

READERS: dict[str, Callable[[Any], object]] = {
    "NewNode": bodies.new_node,
    "Classification": bodies.classification,
    "CertificateOrder": bodies.order,
}

# A final "$" of Python's regular expressions matches before a newline; that of a schema does not.
# That NUL is refused is for the JSON parser to see to.
TEXTS = st.text(max_size=8).filter(lambda text: not {"\n", "\0"} & set(text))
PLAIN = ["ntp", "profile::web", "Ntp", "a::", "::a", "a_1", "é", "a-b", "web1.example.com", "-a"]
ODD = ["ca", "a..b", "servers", "A", "aB"]
LONG = ["", "x" * 64, "x" * 65, "x" * 255, "x" * 256]
NAMES = st.sampled_from([*PLAIN, *ODD, *LONG, *sorted(RESERVED_CLASSES | RESERVED_PARAMETERS)])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS | NAMES
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(NAMES, SCALARS, max_size=2)
CLASSES = st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=2), max_size=2)
ORDERS = st.fixed_dictionaries(
    {},
    optional={
        "csr": TEXTS | SCALARS,
        "sign_pending": st.sampled_from(["a" * 64, "A" * 64, "a" * 63]) | SCALARS,
        "replace_pending": st.booleans() | SCALARS,
    },
)
CLASSIFICATIONS = {
    "environment": st.none() | NAMES | SCALARS,
    "groups": st.lists(TEXTS | NAMES, max_size=3) | VALUES,
    "classes": CLASSES | st.lists(NAMES, max_size=3) | VALUES,
    "parameters": st.dictionaries(NAMES, VALUES, max_size=2) | VALUES,
}
NODES = st.fixed_dictionaries(
    {}, optional={"certname": NAMES, **CLASSIFICATIONS, "certificate": ORDERS | VALUES, "x": VALUES}
)


@pytest.mark.parametrize("name", READERS)
@given(body=NODES | ORDERS | st.fixed_dictionaries({}, optional=CLASSIFICATIONS) | VALUES)
@example(body={})
@example(body={"certname": "web1.example.com"})
def test_the_schema_takes_what_is_taken(name: str, body: Any) -> None:
    """A body is right by the schema exactly if it is parsed; both say no to the same ones."""
    schema = {"$ref": f"#/components/schemas/{name}"}
    said = None
    try:
        READERS[name](body)
    except InvalidRequest as error:
        said = str(error)

    assert bool(said) == bool(faults(schema, body)), said
