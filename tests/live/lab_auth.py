"""auth.conf of a private Puppet Server: the rules that Puppet Server 7 ships, in its order.

Written by us rather than taken from /etc, which ordinary users may not read. What the rules say is
that of Puppet Server 7.9.5 (ezbake/config/conf.d/auth.conf); the first rule that matches decides.
"""

from __future__ import annotations

import json
from typing import Any

Rule = dict[str, Any]

ANYBODY = "anybody, without a certificate"
ANY_NODE = "*"
CA_CLI = {"extensions": {"pp_cli_auth": "true"}}
NOBODY = "nobody"

# name, path (a regular expression if it starts with ^, else a prefix), methods, who
_SHIPPED: tuple[tuple[str, str, str, Any], ...] = (
    ("catalog", "^/puppet/v3/catalog/([^/]+)$", "get post", "$1"),
    ("v4 catalog", "^/puppet/v4/catalog/?$", "post", NOBODY),
    ("certificate", "/puppet-ca/v1/certificate/", "get", ANYBODY),
    ("crl", "/puppet-ca/v1/certificate_revocation_list/ca", "get", ANYBODY),
    ("csr", "/puppet-ca/v1/certificate_request", "get put", ANYBODY),
    ("cert status", "/puppet-ca/v1/certificate_status", "get put delete", CA_CLI),
    ("crl update", "^/puppet-ca/v1/certificate_revocation_list$", "put", CA_CLI),
    ("cert statuses", "/puppet-ca/v1/certificate_statuses", "get", CA_CLI),
    ("expirations", "/puppet-ca/v1/expirations", "get", ANY_NODE),
    ("cert clean", "/puppet-ca/v1/clean", "put", CA_CLI),
    ("status full", "/status/v1/services", "get", ANYBODY),
    ("status simple", "/status/v1/simple", "get", ANYBODY),
    ("environments", "/puppet/v3/environments", "get", ANY_NODE),
    ("file bucket", "/puppet/v3/file_bucket_file", "get head post put", ANY_NODE),
    ("file content", "/puppet/v3/file_content", "get post", ANY_NODE),
    ("file metadata", "/puppet/v3/file_metadata", "get post", ANY_NODE),
    ("node", "^/puppet/v3/node/([^/]+)$", "get", "$1"),
    ("report", "^/puppet/v3/report/([^/]+)$", "put", "$1"),
    ("facts", "^/puppet/v3/facts/([^/]+)$", "put", "$1"),
    ("static files", "/puppet/v3/static_file_content", "get", ANY_NODE),
    ("tasks", "/puppet/v3/tasks", "", ANY_NODE),
    ("deny all", "/", "", NOBODY),
)


def shipped() -> str:
    """Return an auth.conf with the rules that Puppet Server ships."""
    rules = [rule(*row, sort_order=999 if row[0] == "deny all" else 500) for row in _SHIPPED]
    lines = ",\n".join(json.dumps(each) for each in rules)
    return f"authorization: {{\n  version: 1\n  rules: [\n{lines}\n  ]\n}}\n"


def rule(name: str, path: str, methods: str, who: Any, *, sort_order: int = 400) -> Rule:
    """Return one rule.

    :param path: a regular expression if it starts with ^, else a prefix.
    :param methods: lower-case HTTP methods between blanks; none means all.
    :param who: what follows `allow:`, or ANYBODY, or NOBODY.
    :param sort_order: lower ones are looked at first; what is shipped has 500.
    """
    match: Rule = {"path": path, "type": "regex" if path.startswith("^") else "path"}
    if methods:
        match["method"] = methods.split()
    return {"match-request": match, **_access(who), "sort-order": sort_order, "name": name}


def _access(who: Any) -> Rule:
    if who == ANYBODY:
        return {"allow-unauthenticated": True}
    return {"deny": "*"} if who == NOBODY else {"allow": who}


def with_rules(auth_conf: str, rules: list[Rule]) -> str:
    """Return this auth.conf, ours or a packaged one, with more rules at its head."""
    lines = "".join(f"\n{json.dumps(each)}," for each in rules)
    head, bracket, tail = auth_conf.partition("rules: [")
    if not bracket:
        message = "this auth.conf has no `rules: [`"
        raise ValueError(message)
    return head + bracket + lines + tail
