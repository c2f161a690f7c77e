"""The one rule for names of nodes; everything else that takes a name takes a Certname."""

from __future__ import annotations

import re
from typing import Self

from espm.errors import InvalidCertname

#: X.509's upper bound on a common name (RFC 5280, A.1, ub-common-name).
CERTNAME_LENGTH = 64

#: Begins the names under which the CA is given certificates to heal; never a node's.
HEALING = "espm-heal-"

#: validate-subject! of Puppet Server's certificate_authority.clj, as reference facts on the CA
#: state it: lower case, first label starts alphanumeric or "_", no label ends in "-".
CERTNAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_-]*[a-z0-9_])*", re.ASCII)

_CERTNAME_RULE = (
    "a certname has at most 64 characters: labels of a-z, 0-9, '_' and '-', joined by single "
    "dots; the name starts with a letter, digit or '_', and no label ends in '-'"
)

#: Names that mean something else to Puppet or to the machine.
NEVER_CERTNAMES = frozenset({"ca", "localhost"})


class Certname(str):
    """A certname that Puppet's CA accepts and that no program mistakes for anything else.

    :raises espm.errors.InvalidCertname: when *value* is not one, saying the rule.
    """

    __slots__ = ()

    def __new__(cls, value: object) -> Self:
        """Return *value* as a certname, having checked it."""
        if not isinstance(value, str) or len(value) > CERTNAME_LENGTH:
            raise InvalidCertname(_CERTNAME_RULE)
        if not CERTNAME.fullmatch(value):
            raise InvalidCertname(_CERTNAME_RULE)
        if value in NEVER_CERTNAMES:
            msg = f"'{value}' is reserved and never a node's certname"
            raise InvalidCertname(msg)
        return super().__new__(cls, value)
