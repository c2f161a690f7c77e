"""YAML that says nothing JSON can't say, with the line of every fault.

PyYAML's own constructors take the last of two equal keys and make dates, sets and bytes; here
each of these is a fault, and all faults are found in one pass.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import yaml
from yaml.constructor import SafeConstructor

if TYPE_CHECKING:
    from espm.model import Json

#: Bytes of a file.
SIZE = 1024 * 1024
#: Levels of nesting.
DEPTH = 32
#: Values in all, those that aliases repeat counted each time.
VALUES = 100_000

_TAG = "tag:yaml.org,2002:"


class Lined(dict[str, "Json"]):
    """A mapping that remembers the line of each of its keys, and its own."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}


def load(text: bytes) -> tuple[Json, list[str]]:
    """Return the value of a YAML document and its faults, each with its line.

    Mappings are :class:`Lined`.  What is at fault is left out, so that the rest can be checked.
    """
    if len(text) > SIZE:
        return None, [f"more than {SIZE} bytes"]
    try:
        node = yaml.compose(text.decode(), Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        return None, ["not UTF-8"]
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        return None, [f"line {mark.line + 1 if mark else 1}: {exc.problem or exc.context}"]
    except (yaml.YAMLError, RecursionError):
        return None, ["not YAML, or nested too deep to be read"]
    reader = _Reader()
    return (None if node is None else reader.value(node, DEPTH)), reader.faults


class _Reader:
    """Makes values of YAML nodes and notes what is wrong with them."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._left = VALUES
        self._constructor = SafeConstructor()

    def value(self, node: yaml.Node, depth: int) -> Json:
        self._left -= 1
        if depth == 0:
            self._fault(node, f"nested deeper than {DEPTH} levels")
        elif self._left == 0:
            self._fault(node, f"more than {VALUES} values, those that aliases repeat included")
        elif self._left > 0:
            return self._value(node, depth)
        return None

    def _value(self, node: yaml.Node, depth: int) -> Json:
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, depth)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(item, depth - 1) for item in node.value]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        self._fault(node, f"{_kind(node)} is not allowed here")
        return None

    def _mapping(self, node: yaml.MappingNode, depth: int) -> Lined:
        mapping = Lined(_line(node))
        for key_node, value_node in node.value:
            key = key_node.value
            if key_node.tag != _TAG + "str" or not isinstance(key_node, yaml.ScalarNode):
                self._fault(key_node, f"the key {_text(key_node)} is not a string: quote it")
            elif key in mapping.lines:
                first = mapping.lines[key]
                self._fault(key_node, f"the key '{key}' is there twice (first in line {first})")
            else:
                mapping.lines[key] = _line(key_node)
                mapping[key] = self.value(value_node, depth - 1)
        return mapping

    def _scalar(self, node: yaml.ScalarNode) -> Json:
        if node.tag == _TAG + "str":
            return node.value
        if node.tag == _TAG + "null":
            return None
        kind = node.tag.removeprefix(_TAG)
        if kind not in ("bool", "int", "float"):
            self._fault(node, f"{_kind(node)} is not allowed here: quote it to make it a string")
            return None
        return self._number(node, kind)

    def _number(self, node: yaml.ScalarNode, kind: str) -> Json:
        try:
            number = getattr(self._constructor, f"construct_yaml_{kind}")(node)
        except (ArithmeticError, LookupError, ValueError, yaml.YAMLError):
            self._fault(node, f"{_text(node)} is not a value of its type")
            return None
        if isinstance(number, float) and not math.isfinite(number):
            self._fault(node, f"{_text(node)} is a number that JSON does not have")
        return number

    def _fault(self, node: yaml.Node, what: str) -> None:
        self.faults.append(f"line {_line(node)}: {what}")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _kind(node: yaml.Node) -> str:
    return f"a value of the YAML type '{node.tag.removeprefix(_TAG)}'"


def _text(node: yaml.Node) -> str:
    return f"'{node.value[:60]}'" if isinstance(node, yaml.ScalarNode) else "that"
