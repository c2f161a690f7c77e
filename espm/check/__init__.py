"""``espm check``: one screen that says whether everything is as it should be, and what is not.

Each check looks at one thing and stands alone: when one fails, or breaks, the others still run.

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
import pwd
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from espm import config
from espm.check import enc, own, puppet, state
from espm.check.finding import Check, Context, Finding, State
from espm.errors import ConfigError, EspmError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["CHECKS", "Check", "Context", "Finding", "State", "look", "main"]

_log = logging.getLogger(__name__)

_CA = "see that Puppet's CA runs at {config.access.ca_url}, and what espm's log says"
_CLASSES = (
    "see that Puppet Server runs at {config.access.url}, and that its auth.conf allows "
    "{config.certname} the path /puppet/v3/environment_classes (method get)"
)
_ENC = "see that its groups file is right, and its directory as espm_setup made it"

#: What is looked at, in the order of the screen: its name, how, and what to do if that fails.
CHECKS: tuple[tuple[str, Check, str], ...] = (
    ("server TLS", own.server_certificate, ""),
    ("client TLS", own.client_certificate, ""),
    ("daemon", state.daemon, ""),
    ("ledger", state.ledger, ""),
    ("CA", puppet.reachable, _CA),
    ("CA rights", puppet.rights, _CA),
    ("CRL", puppet.crl, _CA),
    ("classes", puppet.classes, _CLASSES),
    ("ENC", enc.directory, _ENC),
    ("ENC readers", enc.readers, ""),
    ("ENC groups", enc.group_classes, _CLASSES),
    ("ENC hook-up", enc.hook_up, ""),
    ("limits", own.limits, ""),
)


def main(path: Path, *, as_json: bool = False) -> int:
    """Look at everything that the configuration at *path* leads to and print what was found.

    Started by root, it goes on as espm's user (:func:`become_espm`).

    :return: the exit code, as the table above has it.
    """
    try:
        become_espm(config.load(path))
        loaded = config.load(path)
    except ConfigError as exc:
        found = [Finding("config", State.FAIL, fault, "correct the file") for fault in exc.faults]
        _show(found, as_json=as_json)
        return os.EX_CONFIG
    found = [Finding("config", State.OK, f"{path} is right"), *look(Context(loaded))]
    _show(found, as_json=as_json)
    return int(any(finding.state is State.FAIL for finding in found))


def look(context: Context, checks: Sequence[tuple[str, Check, str]] = CHECKS) -> Iterator[Finding]:
    """Yield what *checks* find, whatever happens in any of them."""
    for subject, check, remedy in checks:
        todo = remedy.format(config=context.config)
        try:
            yield from check(context)
        except EspmError as exc:
            for line in str(exc).splitlines():
                yield Finding(subject, State.FAIL, line, todo)
        except Exception as exc:  # noqa: BLE001 -- a broken check must not hide the others
            _log.debug("the check of %s broke", subject, exc_info=True)
            what = f"this could not be looked at ({type(exc).__name__}: {exc})"
            yield Finding(subject, State.FAIL, what, todo)


def become_espm(loaded: config.Config) -> None:
    """Go on as the owner of the ENC's directory, when we are root and that is somebody else.

    Root may read everything, so it would not find what espm itself cannot, and files that it
    makes while it looks (a lock, say) would be in espm's way later.
    """
    directory = Context(loaded).enc_directory
    if os.geteuid() != 0 or directory is None or not directory.exists():
        return
    owner = pwd.getpwuid(directory.stat().st_uid)
    if owner.pw_uid != 0:
        os.initgroups(owner.pw_name, owner.pw_gid)
        os.setgid(owner.pw_gid)
        os.setuid(owner.pw_uid)


def _show(findings: Sequence[Finding], *, as_json: bool) -> None:
    text = _as_json(findings) if as_json else _as_screen(findings)
    sys.stdout.write(text + "\n")


def _as_json(findings: Sequence[Finding]) -> str:
    return json.dumps([asdict(finding) for finding in findings], indent=2)


def _as_screen(findings: Sequence[Finding]) -> str:
    width = max(len(finding.subject) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:<4}  {finding.subject:<{width}}  {finding.what}")
        if finding.remedy:
            lines.append(f"{'':<6}{'':<{width}}  -> {finding.remedy}")
    return "\n".join(lines)
