"""``espm check``: one screen that says whether everything is as it should be, and what is not.

Each check looks at one thing: when one fails, or breaks, the others still run, except those that
need it and would only say the same again.

======  ==================================================
exit    means
======  ==================================================
0       all is well, or there are only warnings
1       something does not work
78      the configuration is wrong; every fault is listed
======  ==================================================
"""

from __future__ import annotations

import json
import logging
import os
import sys
from dataclasses import asdict
from itertools import zip_longest
from typing import TYPE_CHECKING

from espm import config
from espm.check import dashboard, enc, own, puppet, state, tools, user
from espm.check.finding import Check, Context, Finding, State
from espm.config.spec import backend
from espm.errors import ConfigError, EnvironmentUnknown, EspmError, GroupsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from espm.config import Config

__all__ = [
    "CHECKS",
    "Check",
    "Context",
    "Finding",
    "State",
    "as_screen",
    "look",
    "main",
    "needs",
    "rows",
    "show",
]

_log = logging.getLogger(__name__)

_CA = "see what Puppet Server's log at {config.access.ca_url} says"
_CLASSES = (
    "see that auth.conf of {config.access.url} allows "
    "{config.certname} the path /puppet/v3/environment_classes (method get)"
)
_ENC = "see that its groups file is right, and its directory as espm_setup made it"

_TOOLS = "see espm's log, and whether the line old tools is ok"

#: What is looked at, in the order of the screen: its name, how, and what to do if that fails.
#: Those of the backends are looked at where a backend in use names them in its own ``CHECKS``.
CHECKS: tuple[tuple[str, Check, str], ...] = (
    ("server TLS", own.server_certificate, ""),
    ("client TLS", own.client_certificate, ""),
    ("daemon", state.daemon, ""),
    ("ledger", state.ledger, ""),
    ("jobs", state.jobs, ""),
    ("old tools", tools.helper, _TOOLS),
    ("puppet cert", tools.puppet_cert, _TOOLS),
    ("CA files", tools.ca_files, _TOOLS),
    ("after revoke", tools.after_revoke, _TOOLS),
    ("CA", puppet.reachable, _CA),
    ("CA rights", puppet.rights, _CA),
    ("CA healing", puppet.healing, _CA),
    ("CA requests", puppet.handing_in, _CA),
    ("CRL", puppet.crl, _CA),
    ("classes", puppet.classes, _CLASSES),
    ("ENC", enc.directory, _ENC),
    ("ENC readers", enc.readers, ""),
    ("ENC groups", enc.group_classes, _CLASSES),
    ("ENC hook-up", enc.hook_up, ""),
    ("dashboard", dashboard.tasks, _TOOLS),
    ("external_node", dashboard.external_node, _TOOLS),
    ("withheld class", dashboard.withheld_class, _TOOLS),
    ("limits", own.limits, ""),
)

#: What is looked at whatever the backends are.
ALWAYS = frozenset({"server TLS", "daemon", "ledger", "jobs", "limits"})

_NEEDS: dict[str, tuple[str, ...]] = {
    "jobs": ("ledger",),
    "CA": ("client TLS",),
    "CA rights": ("CA",),
    "CA healing": ("CA",),
    "CA requests": ("CA",),
    "CRL": ("CA", "puppet cert"),
    "ENC groups": ("ENC", "classes"),
    "puppet cert": ("old tools",),
    "CA files": ("old tools",),
    "after revoke": ("old tools",),
    "dashboard": ("old tools",),
    "external_node": ("dashboard",),
    "withheld class": ("dashboard",),
}


def main(path: Path, *, as_json: bool = False) -> int:
    """Look at everything that the configuration at *path* leads to and print what was found.

    Started by root, it goes on as espm's user (:func:`espm.check.user.become_espm`).

    :return: the exit code, as the table above has it.
    """
    try:
        name = user.become_espm(config.load(path))
        if name and (unreadable := user.python(name)):
            show([unreadable], as_json=as_json)
            return 1
        loaded = config.load(path)
    except ConfigError as exc:
        found = [Finding("config", State.FAIL, fault, _mended_by(fault)) for fault in exc.faults]
        show(found, as_json=as_json)
        return os.EX_CONFIG
    found = [Finding("config", State.OK, f"{path} is right"), *look(Context(loaded))]
    show(found, as_json=as_json)
    return int(any(finding.state is State.FAIL for finding in found))


def rows(loaded: Config) -> list[tuple[str, Check, str]]:
    """Return those of :data:`CHECKS` that make sense with the backends of *loaded*."""
    used = (("ca", loaded.ca_backend), ("classifier", loaded.classifier_backend))
    wanted = ALWAYS.union(*(backend(*each).CHECKS for each in used))
    return [row for row in CHECKS if row[0] in wanted]


def look(
    context: Context, checks: Sequence[tuple[str, Check, str]] | None = None
) -> Iterator[Finding]:
    """Yield what *checks* find, whatever happens in any of them.

    :param checks: those of :func:`rows` by default.
    """
    because: dict[str, str] = {}  # What cannot be relied on, and which check's failure that is.
    for row in rows(context.config) if checks is None else checks:
        subject = row[0]
        if cause := next((because[n] for n in needs(subject, context) if n in because), ""):
            because[subject] = cause
            yield Finding(subject, State.SKIP, f"skipped, because of {cause}")
            continue
        for finding in _one(context, *row):
            if finding.state is State.FAIL:
                because[subject] = subject
            yield finding


def needs(subject: str, context: Context) -> tuple[str, ...]:
    """Return the checks without which that of *subject* could only repeat what they found."""
    access = context.config.access
    if subject == "classes":
        return ("CA",) if access.url == access.ca_url else ("client TLS",)
    return _NEEDS.get(subject, ())


def _one(context: Context, subject: str, check: Check, remedy: str) -> Iterator[Finding]:
    """Yield what one check finds; what it raises is a finding, too."""
    todo = remedy.format(config=context.config)
    try:
        yield from check(context)
    except EspmError as exc:
        for line in str(exc).splitlines():
            yield Finding(subject, State.FAIL, line, _remedy(exc, context) or todo)
    except Exception as exc:  # noqa: BLE001 -- a broken check must not hide the others
        _log.debug("the check of %s broke", subject, exc_info=True)
        what = f"this could not be looked at ({type(exc).__name__}: {exc})"
        yield Finding(subject, State.FAIL, what, todo)


def _remedy(error: EspmError, context: Context) -> str:
    """Return what to do about *error* where that does not depend on the check."""
    if isinstance(error, GroupsError):
        return f"correct {context.config.classifier_options['groups_file']}"
    if isinstance(error, EnvironmentUnknown):
        return "deploy it, or correct [builtin] environment or the groups file"
    return "correct the configuration" if isinstance(error, ConfigError) else ""


def show(findings: Sequence[Finding], *, as_json: bool) -> None:
    """Print *findings* for a person or a program."""
    text = _as_json(findings) if as_json else as_screen(findings)
    sys.stdout.write(text + "\n")


def _as_json(findings: Sequence[Finding]) -> str:
    return json.dumps([asdict(finding) for finding in findings], indent=2)


def as_screen(findings: Sequence[Finding]) -> str:
    """Return *findings* as lines for a person."""
    width = max(len(finding.subject) for finding in findings)
    lines = []
    for finding, after in zip_longest(findings, findings[1:]):
        lines.append(f"{finding.state:<4}  {finding.subject:<{width}}  {finding.what}")
        # Lines that share a remedy have it once, below the last of them.
        shared = after and (after.subject, after.remedy) == (finding.subject, finding.remedy)
        if finding.remedy and not shared:
            lines.append(f"{'':<6}{'':<{width}}  -> {finding.remedy}")
    return "\n".join(lines)


def _mended_by(fault: str) -> str:
    """Return what to do about a *fault* of the configuration."""
    if "[puppet] certificate:" in fault and "No such file" in fault:
        # The file is right, and the CA has yet to sign.
        return "run espm_setup --fetch-certificate"
    return "correct the file"
