"""What the first run says of the helper for old programs."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from espm_setup import ssh, sudoers, tools

if TYPE_CHECKING:
    from pathlib import Path

    from espm.model import Json
    from espm_setup.report import Report
    from espm_setup.tools import Tools


def as_json(helper: Tools, user: str) -> Json:
    """Return what programs may want to know.

    :param user: who is to run espm.
    """
    return {
        "host": helper.host,
        "program": str(helper.program),
        "ssldir": helper.puppet.ssldir,
        "version": helper.puppet.version or None,
        "written": [str(path) for path in helper.written],
        "commands": list(tools.commands(helper)),
        "sudoers": _rule(helper, user).splitlines(),
    }


def found(helper: Tools) -> str:
    """Return a line about the Puppet that the helper is for."""
    puppet = helper.puppet
    if puppet.version:
        return f"Puppet {puppet.version}, {puppet.places.puppet}; its CA: {puppet.ssldir}/ca."
    return (
        f"Puppet on {helper.host} was not asked: see that {helper.written[1]} is right for it; "
        "what is not is on the line 'old tools' of espm check."
    )


def steps(helper: Tools, report: Report) -> list[str]:
    """Return what is left to do by hand."""
    certificates = report.plan.layout.certificates
    there = [] if helper.is_local else _login(helper, certificates)
    return [*_install(helper), *_sudo(helper, report), *there]


def _install(helper: Tools) -> list[str]:
    if helper.is_ours:
        return []
    where = "" if helper.is_local else f" on {urlsplit(helper.host).hostname}"
    names = " and ".join(map(str, helper.written))
    copied = [] if helper.is_local else [f"Copy {names} to {urlsplit(helper.host).hostname}."]
    lines = [*copied, f"Install the helper{where}, as root:", ""]
    return [*lines, *(f"    {line}" for line in tools.commands(helper)), ""]


def _sudo(helper: Tools, report: Report) -> list[str]:
    rule = _rule(helper, report.name)
    if not rule or (helper.is_local and report.will_apply):
        return []
    how = "'espm_setup --apply' does this, or you: put" if helper.is_local else "Put there"
    lines = [f"{how} with 'visudo -f {sudoers.PLACE}':", ""]
    return [*lines, *(f"    {line}" for line in rule.splitlines()), ""]


def _login(helper: Tools, certificates: Path) -> list[str]:
    parts = urlsplit(helper.host)
    key, public, known = ssh.written(certificates)
    return [
        f"Let espm in: append {public} to ~{parts.username}/.ssh/authorized_keys there, and here:",
        "",
        f"    {ssh.scan(helper.host)} >> {known}",
        "",
        "Compare that key with the host's own:",
        "",
        "    ssh-keygen -l -f /etc/ssh/ssh_host_rsa_key.pub    # there",
        f"    ssh-keygen -l -f {known}",
        "",
        f"espm logs in with the key {key}; nobody else may read it.",
        "",
    ]


def _rule(helper: Tools, user: str) -> str:
    """Return the lines for sudo; none where it is not needed."""
    if not helper.sudo:
        return ""
    return sudoers.text(urlsplit(helper.host).username or user, helper.program)
