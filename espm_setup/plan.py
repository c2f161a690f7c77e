"""What the first run will write, decided before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from espm import x509
from espm_setup import hooks, keys, puppet, template, tools
from espm_setup.hostnames import names_and_addresses

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

    from espm.x509 import Key
    from espm_setup.files import Owner
    from espm_setup.layout import Layout
    from espm_setup.puppet import Puppet
    from espm_setup.tools import Tools

GROUPS = """\
# The node groups that platforms may put nodes into. This file is yours: espm only reads it, at
# its start and on SIGHUP. For example:
#
# groups:
#   - name: base
#     environment: production
#     classes: [ntp]
#   - name: web
#     parent: base
#     classes:
#       apache: {default_vhost: false}
#     parameters: {role: web}
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """The first run's decisions.

    :ivar psk: the preshared key, 288 random bits; only its hash is ever written.
    :ivar hooks: what is to be changed in Puppet's files; None where nothing is.
    :ivar puppetserver: the native program, if it is on this machine.
    :ivar ca_url: where the CA is, if that is known.
    :ivar ca_file: the CA certificates that are there already.
    :ivar section: of puppet.conf, where the ENC is to be named.
    :ivar tools: the helper for old programs, where they are to be run.
    """

    layout: Layout
    puppet: Puppet | None
    hooks: hooks.Hooks | None
    puppetserver: str | None
    url: str | None
    ca_url: str | None
    ca_file: Path | None
    section: str
    tools: Tools | None
    psk: str = field(repr=False)
    client_key: Key | None = field(repr=False)
    server_key: Key = field(repr=False)
    certificate: bytes


def make(args: argparse.Namespace, layout: Layout, found: Puppet | None) -> Plan:
    """Return what a first run with *args* will write.

    :raises espm_setup.errors.SetupError: the arguments or Puppet's settings do not fit.
    """
    names, addresses = names_and_addresses(args.name, args.san)
    server_key = x509.new_key(args.key_type)
    url = args.puppet_url or (found.url if found else None)
    return Plan(
        layout=layout,
        puppet=found,
        hooks=_hooks(args, layout, found) if args.stack.server else None,
        puppetserver=puppet.program("puppetserver", args.puppetserver),
        url=url,
        ca_url=args.ca_url or args.puppet_url or (found.ca_url if found else None),
        ca_file=args.ca_file or (found.ca_file if found else None),
        section=args.stack.section,
        tools=tools.make(args) if args.stack.tools else None,
        psk=keys.new_psk(),
        client_key=x509.new_key(args.key_type) if args.stack.server else None,
        server_key=server_key,
        certificate=x509.self_signed(server_key, names, addresses, days=args.days),
    )


def ini(plan: Plan, args: argparse.Namespace, owner: Owner) -> str:
    """Return the text of the configuration file that *owner*'s espm will read."""
    layout = plan.layout
    sections: dict[str, dict[str, object]] = {
        "server": {
            "host": args.host,
            "port": args.port,
            "certificate": layout.server_certificate,
            "private_key": layout.server_key,
            **({"threads": args.stack.threads} if args.stack.threads else {}),
        },
        "platforms": {},
        f"[{args.platform}]": {"psk_sha256": [keys.digest(plan.psk)]},
        "ledger": {"url": layout.ledger_url},
        "puppet": _puppet_section(plan),
        "ca": _ca_section(plan, args, owner),
        args.ca: _SECTIONS[args.ca](plan, args),
        "classifier": {"backend": args.classifier},
        args.classifier: _SECTIONS[args.classifier](plan, args),
    }
    # A section of a backend that says nothing is left out.
    return template.render(
        {name: keys for name, keys in sections.items() if keys or name == "platforms"}
    )


def _hooks(args: argparse.Namespace, layout: Layout, found: Puppet | None) -> hooks.Hooks:
    result = hooks.Hooks(
        hooks.certname(args.certname, found),
        hooks.command(args.enc, layout.enc, hooks.fallback(found)),
        hooks.rights(args.ca, args.ca_scope),
    )
    _ = result.puppet_lines  # Refuses what Puppet could not run, before anything is made.
    return result


def _puppet_section(plan: Plan) -> dict[str, object]:
    layout = plan.layout
    more = plan.tools.puppet.names if plan.tools else ()
    if plan.hooks is None:
        return {"reserved": list(more)}
    servers = plan.puppet.infrastructure if plan.puppet else ()
    own = (plan.puppet.settings["certname"],) if plan.puppet else ()
    different = plan.ca_url if plan.ca_url != plan.url else None
    return {
        "url": plan.url,
        **({"ca_url": different} if different else {}),
        "certificate": layout.client_certificate,
        "private_key": layout.client_key,
        "ca_file": layout.ca_file,
        **({"confdir": plan.puppet.config.parent} if plan.puppet else {}),
        "reserved": list(dict.fromkeys([plan.hooks.certname, *own, *servers, *more])),
    }


def _ca_section(plan: Plan, args: argparse.Namespace, owner: Owner) -> dict[str, object]:
    section: dict[str, object] = {"backend": args.ca, "key_type": args.node_keys}
    if args.stack.tools:
        return section
    ca_conf = plan.puppet.conf_d / "ca.conf" if plan.puppet and plan.puppet.conf_d else None
    # A packaged conf.d may be closed to all but Puppet Server's user.
    if ca_conf and ca_conf.is_file() and owner.reads(ca_conf):
        section["ca_conf"] = ca_conf
    if plan.puppet and plan.puppet.infra_crl:
        section["crl_file"] = plan.puppet.settings["cacrl"]
    if args.ca_scope == "full":
        cadir = plan.puppet.settings["cadir"] if plan.puppet else None
        for key, name in (("signed_dir", "signed"), ("requests_dir", "requests")):
            section[key] = f"{cadir}/{name}" if cadir else None
    return section


def _http_api(_plan: Plan, args: argparse.Namespace) -> dict[str, object]:
    return {"ca_scope": args.ca_scope} if args.ca_scope == "full" else {}


def _puppetserver_ca(plan: Plan, _args: argparse.Namespace) -> dict[str, object]:
    config = plan.puppet.config if plan.puppet else None
    return {"program": plan.puppetserver, "config": config}


def _puppet_cert(plan: Plan, args: argparse.Namespace) -> dict[str, object]:
    native = {"native_generate": "yes"} if args.native_generate else {}
    return {**_dashboard(plan, args), **native}


def _dashboard(plan: Plan, _args: argparse.Namespace) -> dict[str, object]:
    return dict(plan.tools.section(plan.layout.certificates)) if plan.tools else {}


def _builtin(plan: Plan, _args: argparse.Namespace) -> dict[str, object]:
    return {
        "directory": plan.layout.enc,
        "group": plan.puppet.settings["group"] if plan.puppet else "puppet",
        "groups_file": plan.layout.groups,
        "fallback": " ".join(hooks.fallback(plan.puppet)),
    }


#: What the section of each backend says.
_SECTIONS: dict[str, Callable[[Plan, argparse.Namespace], dict[str, object]]] = {
    "http_api": _http_api,
    "puppetserver_ca": _puppetserver_ca,
    "puppet_cert": _puppet_cert,
    "builtin": _builtin,
    "dashboard": _dashboard,
}
