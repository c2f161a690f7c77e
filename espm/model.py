"""The values that flow through espm: names, classifications, nodes, certificates, intents.

They are frozen and know nothing of HTTP, SQL or Puppet's programs.

A node::

                  POST               all done                DELETE                 proved
    (no row) ───────────> adding ───────────────> active ───────────────> deleting ───────> deleted
                            │                                                ^
                            └── it failed, or espm died: the same way back ──┘ ───────────> undone

A certificate::

                key known             signed               revoking             seen in the CRL
    (no row) ──────────────> ordered ───────────> valid ──────────────> revoking ───────> revoked
                                │
                                └── never signed ──────────────────────────────────────> void
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from espm.errors import InvalidCertname

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

#: X.509's upper bound on a common name (RFC 5280, A.1, ub-common-name).
CERTNAME_LENGTH = 64

# validate-subject! of Puppet Server's certificate_authority.clj, as reference facts on the CA
# state it: lower case, first label starts alphanumeric or "_", no label ends in "-".
_CERTNAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_-]*[a-z0-9_])*", re.ASCII)

_CERTNAME_RULE = (
    "a certname has at most 64 characters: labels of a-z, 0-9, '_' and '-', joined by single "
    "dots; the name starts with a letter, digit or '_', and no label ends in '-'"
)

#: Names that mean something else to Puppet or to the machine.
_NEVER = frozenset({"ca", "localhost"})

Json = Any
"""A JSON value; what may be in one is checked where it enters (:mod:`espm.api.bodies`)."""


class Certname(str):
    """A certname that Puppet's CA accepts and that no program mistakes for anything else.

    :raises espm.errors.InvalidCertname: when *value* is not one, saying the rule.
    """

    __slots__ = ()

    def __new__(cls, value: object) -> Self:
        """Return *value* as a certname, having checked it."""
        if not isinstance(value, str) or len(value) > CERTNAME_LENGTH:
            raise InvalidCertname(_CERTNAME_RULE)
        if not _CERTNAME.fullmatch(value):
            raise InvalidCertname(_CERTNAME_RULE)
        if value in _NEVER:
            msg = f"'{value}' is reserved and never a node's certname"
            raise InvalidCertname(msg)
        return super().__new__(cls, value)


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


class NodeState(StrEnum):
    """Where a node is in its life; the picture is at the top of this module."""

    ADDING = "adding"
    ACTIVE = "active"
    DELETING = "deleting"
    DELETED = "deleted"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class Node:
    """A row of the ledger: one life of one certname.

    :ivar generation: grows with every node ever added; tells two lives of one name apart.
    :ivar version: grows with every change of the classification.
    """

    generation: int
    certname: Certname
    platform: str
    state: NodeState
    version: int
    classification: Classification
    created: datetime
    updated: datetime

    @property
    def etag(self) -> str:
        """The entity tag of this generation and version, quoted."""
        return f'"{self.generation}.{self.version}"'


class CertificateState(StrEnum):
    """Where a certificate is in its life; the picture is at the top of this module."""

    ORDERED = "ordered"
    VALID = "valid"
    REVOKING = "revoking"
    REVOKED = "revoked"
    VOID = "void"


class KeyMaker(StrEnum):
    """Who made the private key, and so whether a lost answer can be made good.

    espm itself; the node, whose CSR the platform sent; or the agent, which submitted its CSR to
    the CA without us.
    """

    ESPM = "espm"
    NODE = "node"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate as the CA gave it.

    :ivar serial: the serial number.
    :ivar fingerprint: SHA-256 of the DER, lower-case hex.
    :ivar key_sha256: SHA-256 of the DER SubjectPublicKeyInfo, lower-case hex.
    """

    pem: str
    serial: int
    fingerprint: str
    key_sha256: str
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate we ordered, as the ledger knows it; *issued* is None until it is signed."""

    ident: int
    generation: int
    key_sha256: str
    key_maker: KeyMaker
    state: CertificateState
    issued: Issued | None = None


class IntentKind(StrEnum):
    """What espm set out to do."""

    ADD = "add"
    CHANGE = "change"
    ISSUE = "issue"
    REVOKE = "revoke"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Intent:
    """A durable note of something begun; open until its last outside effect is done.

    :ivar payload: what carrying it on needs beyond the node (a new classification, say).
    :ivar attempts: how often it was tried and left.
    :ivar last_error: why it was left the last time, safe to show to the platform.
    """

    ident: str
    generation: int
    kind: IntentKind
    payload: Mapping[str, Json] = field(default_factory=dict)
    attempts: int = 0
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a platform may do; each a tuple of globs, ``networks`` of CIDRs.

    ``*`` as a network means every address.
    """

    certnames: tuple[str, ...] = ("*",)
    groups: tuple[str, ...] = ("*",)
    classes: tuple[str, ...] = ("*",)
    environments: tuple[str, ...] = ("production",)
    networks: tuple[str, ...] = ("*",)
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Platform:
    """A cloud platform that may call us.

    :ivar psk_sha256: the SHA-256 digests (lower-case hex) of its one or two preshared keys.
    """

    name: str
    psk_sha256: tuple[str, ...] = field(repr=False, default=())
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class PuppetAccess:
    """How espm reaches Puppet over HTTPS.

    :ivar url: the compile server, ``https://host:8140``.
    :ivar ca_url: the CA server; often the same.
    :ivar certificate: path of espm's own client certificate (PEM).
    :ivar private_key: path of its key (PEM).
    :ivar ca_file: path of the CA bundle that vouches for Puppet's servers (PEM).
    :ivar timeout: seconds that one call may take as a whole.
    """

    url: str
    ca_url: str
    certificate: str
    private_key: str
    ca_file: str
    timeout: float = 60.0
