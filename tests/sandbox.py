"""Runs a program under the system call filters that a systemd unit asks for, without systemd.

    /usr/bin/python3 sandbox.py UNIT PROGRAM ARGUMENT...

Where PID 1 is not systemd (a container, CI) nobody else would show that espm can do its work
under its unit.  The filters are those that systemd makes of the unit's lines, for the calls that
matter here.  It needs Debian's python3-seccomp and systemd-analyze, and nothing of espm.
"""

from __future__ import annotations

import errno
import mmap
import os
import socket
import stat
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

_MODES = (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("mkdir", 1), ("mkdirat", 2))
#: Lines of a unit that refuse a call when these bits of an argument are set.
_BITS = (
    ("MemoryDenyWriteExecute", "mmap", 2, mmap.PROT_WRITE | mmap.PROT_EXEC),
    ("MemoryDenyWriteExecute", "mprotect", 2, mmap.PROT_EXEC),
    ("MemoryDenyWriteExecute", "pkey_mprotect", 2, mmap.PROT_EXEC),
    *(("RestrictSUIDSGID", *each, bit) for each in _MODES for bit in (stat.S_ISUID, stat.S_ISGID)),
)
_LAST_FAMILY = 45


def directives(unit: Path) -> dict[str, list[str]]:
    """Return the values of each key in the section ``[Service]`` of *unit*."""
    found: dict[str, list[str]] = {}
    section = unit.read_text().partition("[Service]\n")[2].partition("\n[")[0]
    for line in section.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def allowed(lines: list[str]) -> set[str]:
    """Return the calls that the values of ``SystemCallFilter`` leave, the first a list of sets."""
    left = _expanded("@default")  # systemd adds it to every list.
    for line in lines:
        named = {call for name in line.lstrip("~").split() for call in _expanded(name)}
        left = left - named if line.startswith("~") else left | named
    return left


def _expanded(name: str) -> set[str]:
    if not name.startswith("@"):
        return {name}
    words = ["systemd-analyze", "--no-pager", "syscall-filter", name]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    members = [line.strip() for line in done.stdout.splitlines()[1:] if "#" not in line]
    return {call for member in members if member for call in _expanded(member)}


def _calls(seccomp: Any, unit: dict[str, list[str]]) -> Any:
    """Return a filter that allows what ``SystemCallFilter`` allows."""
    made = seccomp.SyscallFilter(defaction=seccomp.ERRNO(errno.EPERM))
    for call in allowed(unit["SystemCallFilter"]):
        try:
            made.add_rule(seccomp.ALLOW, call)
        except RuntimeError:
            continue  # A call of another architecture, or one that libseccomp does not know.
    return made


def _arguments(seccomp: Any, unit: dict[str, list[str]]) -> Any:
    """Return a filter that refuses what other lines refuse of calls that are allowed else."""
    refuse = seccomp.ERRNO(errno.EPERM)
    made = seccomp.SyscallFilter(defaction=seccomp.ALLOW)
    families = {getattr(socket, name) for name in unit["RestrictAddressFamilies"][0].split()}
    for family in set(range(_LAST_FAMILY)) - families:
        argument = seccomp.Arg(0, seccomp.EQ, family)
        made.add_rule(seccomp.ERRNO(errno.EAFNOSUPPORT), "socket", argument)
    for key, call, at, bits in _BITS:
        if unit[key] == ["yes"]:
            made.add_rule(refuse, call, seccomp.Arg(at, seccomp.MASKED_EQ, bits, bits))
    return made


def main(path: str, program: str, *arguments: str) -> None:
    """Become *program*, held to the unit at *path*."""
    seccomp = import_module("seccomp")
    unit = directives(Path(path))
    calls = _calls(seccomp, unit)
    _arguments(seccomp, unit).load()
    # The last one, for it need not allow that another is loaded.
    calls.load()
    os.execv(program, [program, *arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
