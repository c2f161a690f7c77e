"""What is said of a node, what Puppet is told of it, and what Puppet has to offer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = Any
"""A JSON value; what may be in one is checked where it enters (:mod:`espm.api.parsing`)."""


@dataclass(frozen=True, slots=True)
class Classification:
    """What a platform says of a node; the groups' share is added by the classifier.

    :ivar environment: the environment the platform asked for, or None for the groups' or the
        configured default.
    :ivar groups: names of the node's groups, in the order of precedence, weakest first.
    :ivar classes: the node's own classes with their parameters.
    :ivar parameters: the node's own top-scope parameters.
    """

    environment: str | None = None
    groups: tuple[str, ...] = ()
    classes: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    parameters: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Catalogable:
    """What Puppet is told of a node: groups and node merged, the environment decided."""

    environment: str
    classes: Mapping[str, Mapping[str, Json]]
    parameters: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Group:
    """A node group of the ENC, as the administrator wrote it."""

    name: str
    parent: str | None = None
    environment: str | None = None
    classes: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    parameters: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClassParameter:
    """A parameter of a Puppet class.

    :ivar type: the Puppet data type as written, or None.
    :ivar default: the source text of the default.
    :ivar required: True when the code has no default (Hiera may still bind it).
    """

    name: str
    type: str | None = None
    default: str | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class PuppetClass:
    """A class that Puppet has in an environment."""

    name: str
    parameters: tuple[ClassParameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The classes of one environment.

    :ivar unparsable: path and message of each file that Puppet could not parse.
    :ivar etag: changes exactly when the content does; made by us.
    """

    environment: str
    classes: Mapping[str, PuppetClass]
    unparsable: Mapping[str, str]
    etag: str
