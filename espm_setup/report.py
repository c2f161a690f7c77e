"""What is said: by the first run the two values as in 2012, then what is new and what to do."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from espm import x509
from espm_setup import report_tools

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from espm.model import Json
    from espm_setup.hooks import Hooks
    from espm_setup.plan import Plan


#: What brings new keys and certificates into force.
RELOAD = "systemctl reload espm"


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a first run.

    :ivar missing: why espm's own certificate is not there yet; empty when it is.
    :ivar version: of Puppet Server, if it answered.
    :ivar will_apply: whether Puppet's files are changed right afterwards.
    :ivar name: the user who is to run espm.
    :ivar user: the same, if that is another than who runs the setup.
    """

    plan: Plan
    missing: str
    version: str | None
    will_apply: bool = False
    name: str = ""
    user: str | None = None


def tell(args: argparse.Namespace, lines: Sequence[str], value: Mapping[str, Json]) -> None:
    """Print *lines* for people, or *value* as JSON for programs, now and not later."""
    print(json.dumps(value, indent=2) if args.json else "\n".join(lines), flush=True)  # noqa: T201


def espm() -> str:
    """Return how to call the espm that this setup belongs to: by its name if a shell finds it."""
    ours = Path(sys.executable).with_name("espm")
    found = shutil.which("espm")
    same = found is not None and Path(found).resolve() == ours.resolve()
    return "espm" if same or not ours.exists() else shlex.quote(str(ours))


def as_json(report: Report, done: Sequence[str] = ()) -> str:
    """Return the report as one JSON object; holds the preshared key.

    :param done: what was done to Puppet's files.
    """
    plan = report.plan
    value: dict[str, Json] = {
        "preshared_key": plan.psk,
        "certificate": plan.certificate.decode("ascii"),
        "fingerprint_sha256": x509.fingerprint(plan.certificate),
        "pinned_public_key": x509.spki_pin(plan.certificate),
        "config": str(plan.layout.ini),
        "certname": plan.hooks.certname if plan.hooks else None,
        "puppet": _puppet(report),
        "puppet_conf": plan.hooks.puppet_lines if plan.hooks else [],
        "auth_conf": plan.hooks.auth_lines if plan.hooks else [],
        "tools": report_tools.as_json(plan.tools, report.name) if plan.tools else None,
        "missing": report.missing or None,
        "done": list(done),
    }
    return json.dumps(value, indent=2)


def as_text(report: Report) -> str:
    """Return the report for people; holds the preshared key."""
    return "\n".join([*_as_in_2012(report), "", *_new(report), "", *_next(report)])


def _as_in_2012(report: Report) -> list[str]:
    """Return the lines that programs and people know since 2012, in their order."""
    plan = report.plan
    return [
        "Preshared Key:",
        plan.psk,
        "",
        "Certificate:",
        plan.certificate.decode("ascii"),
        "",
        "Please use these values in the appropriate form fields",
        "when adding your Puppet account to your cloud platform",
        "        ",
        f"Writing config to: {plan.layout.ini}",
    ]


def _new(report: Report) -> list[str]:
    plan = report.plan
    digest = x509.colons(x509.fingerprint(plan.certificate))
    return [
        f"SHA-256 fingerprint of the certificate: {digest}",
        f"Pin of its key: curl --pinnedpubkey '{x509.spki_pin(plan.certificate)}'",
        "Only a hash of the preshared key is kept: make note of it now.",
        "",
        *([report_tools.found(plan.tools)] if plan.tools else []),
        *([_said_of_puppet(plan.hooks, report)] if plan.hooks else []),
        *([report.missing] if report.missing else []),
    ]


def _said_of_puppet(hooks: Hooks, report: Report) -> str:
    plan = report.plan
    if plan.puppet is None and (plan.url is None or plan.ca_file is None):
        return (
            f'No Puppet found on this machine: see the lines "# fill in" in {plan.layout.ini}, '
            "or name it with --confdir or --puppet-url and --ca-file."
        )
    known = f"version {report.version}" if report.version else "which does not answer now"
    got = "is not there yet" if report.missing else "is signed"
    return f"Puppet Server at {plan.url}, {known}; espm's certificate {hooks.certname} {got}."


def _next(report: Report) -> list[str]:
    plan = report.plan
    run = f"runuser -u {report.user} -- {espm()}" if report.user else espm()
    after = [f"Then: {espm()} check -c {plan.layout.ini}", f"and:  {run} -c {plan.layout.ini}"]
    helper = report_tools.steps(plan.tools, report) if plan.tools else []
    return [*helper, *(_connect(plan.hooks, plan) if not report.will_apply else []), *after]


def _connect(hooks: Hooks | None, plan: Plan) -> list[str]:
    """Return what is to be done to Puppet's files, if anything."""
    if hooks is None:
        return []
    here, there = ": 'espm_setup --apply' (with the options of now), or so:", ", where Puppet is:"
    return [
        f"Next, connect Puppet with espm{here if plan.puppet else there}",
        *_puppet_conf(hooks, plan),
        *_auth_conf(hooks, plan),
        "and reload Puppet Server.",
        "",
    ]


def _puppet_conf(hooks: Hooks, plan: Plan) -> list[str]:
    path = plan.puppet.config if plan.puppet else "puppet.conf"
    lines = [f"* in section [{plan.section}] of {path}:", ""]
    return [*lines, *(f"    {line}" for line in hooks.puppet_lines), ""]


def _auth_conf(hooks: Hooks, plan: Plan) -> list[str]:
    found = plan.puppet.conf_d / "auth.conf" if plan.puppet and plan.puppet.conf_d else "auth.conf"
    lines = [f"* at the head of authorization.rules in {found}:", ""]
    return [*lines, *(f"    {line}" for line in hooks.auth_lines), ""]


def _puppet(report: Report) -> Json:
    plan = report.plan
    if plan.puppet is None:
        return None
    return {
        "url": plan.url,
        "ca_url": plan.ca_url,
        "version": report.version,
        "puppet_conf": str(plan.puppet.config),
        "conf_d": str(plan.puppet.conf_d) if plan.puppet.conf_d else None,
    }
