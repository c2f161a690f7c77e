"""Puppet's names for object identifiers (``Puppet::SSL::Oids``, lib/puppet/ssl/oids.rb)."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The arc of everything Puppet, and the one below it that auth.conf and autosigning trust.
PUPPET = "1.3.6.1.4.1.34380.1."
AUTHORIZATION = "1.3.6.1.4.1.34380.1.3."

#: Whoever has it rules the CA; Puppet Server's CA API never signs it
#: (``validate-extensions!``, certificate_authority.clj).
PP_CLI_AUTH = "1.3.6.1.4.1.34380.1.3.39"

_REGISTERED = (
    "uuid instance_id image_name preshared_key cost_center product project application service "
    "employee created_by environment role software_version department cluster provisioner region "
    "datacenter zone network securitypolicy cloudplatform apptier hostname owner"
)

_NAMES = {
    **{
        f"1.3.6.1.4.1.34380.1.1.{number}": f"pp_{name}"
        for number, name in enumerate(_REGISTERED.split(), start=1)
    },
    "1.3.6.1.4.1.34380.1.3.1": "pp_authorization",
    "1.3.6.1.4.1.34380.1.3.2": "pp_auth_auto_renew",
    "1.3.6.1.4.1.34380.1.3.13": "pp_auth_role",
    PP_CLI_AUTH: "pp_cli_auth",
}


def name(oid: str) -> str:
    """Return Puppet's name for a dotted *oid*, or *oid* itself when it has none."""
    return _NAMES.get(oid, oid)


def allowed(oid: str, globs: Iterable[str]) -> bool:
    """Return whether one of *globs* lets the extension *oid* pass, by number or by name.

    What authorization rests on needs a glob that begins with its arc or with ``pp_auth``: a
    ``*`` was not written with it in mind.
    """
    if oid == PP_CLI_AUTH:
        return False
    if oid.startswith(AUTHORIZATION):
        globs = [glob for glob in globs if glob.startswith((AUTHORIZATION, "pp_auth"))]
    return any(fnmatchcase(oid, glob) or fnmatchcase(name(oid), glob) for glob in globs)
