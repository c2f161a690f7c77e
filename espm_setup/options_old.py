"""The options for Puppet up to version 5 and its dashboard."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

_SSH = re.compile(r"ssh://[a-z_][a-z0-9_-]*@[A-Za-z0-9][A-Za-z0-9.-]*(?::(\d{1,5}))?", re.ASCII)

#: Options by the name of what they set, and what they go with.
_ONLY = {
    "after_revoke": ("ca", "puppet_cert"),
    "tools_host": ("ca", "puppet_cert"),
    "native_generate": ("ca", "puppet_cert"),
    "rake": ("classifier", "dashboard"),
    "rakefile": ("classifier", "dashboard"),
    "rake_user": ("classifier", "dashboard"),
    "external_node": ("classifier", "dashboard"),
}


def add(target: argparse.ArgumentParser) -> None:
    """Add the options to the parser *target*."""
    option = target.add_argument_group(
        "Puppet up to version 5 (--ca puppet_cert) and its dashboard (--classifier dashboard); "
        "found by themselves where packages have them"
    ).add_argument
    option("--rake", type=_absolute, metavar="PROGRAM", help="the dashboard's program rake")
    option("--rakefile", type=_absolute, metavar="FILE", help="the dashboard's Rakefile")
    option("--rake-user", type=_user, metavar="USER", help="who runs the dashboard's tasks")
    option("--external-node", type=_absolute, metavar="PROGRAM",
           help="the dashboard's ENC, by which espm proves what it did")  # fmt: skip
    option("--after-revoke", type=_command, metavar="COMMAND",
           help="makes the master read a new CRL (default: service pe-httpd restart with Puppet "
           "Enterprise 2.x, else none)")  # fmt: skip
    option("--tools", type=_absolute, default=Path("/opt/espm/libexec/espm_tools"), metavar="PATH",
           help="where the helper goes that runs the old programs, its settings beside it "
           "(default: %(default)s)")  # fmt: skip
    option("--tools-host", type=_host, metavar="URL",
           help="the host of Puppet and dashboard if it is another one, ssh://user@host[:port]; "
           "then the helper is written beside the configuration")  # fmt: skip
    option("--no-sudo", dest="sudo", action="store_false",
           help="espm's user needs no sudo for the helper: it is Puppet's own")  # fmt: skip
    option("--native-generate", action="store_true",
           help="have puppet cert generate make what is signed")  # fmt: skip


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End the program when an option of *args* goes with other backends only."""
    for name, (option, value) in _ONLY.items():
        if getattr(args, name) not in (None, False) and getattr(args, option) != value:
            parser.error(f"--{name.replace('_', '-')} goes with --{option} {value} only")


def _absolute(text: str) -> Path:
    if not text.startswith("/") or any(ord(letter) < 32 for letter in text):
        msg = f"{text!a} is not an absolute path"
        raise argparse.ArgumentTypeError(msg)
    return Path(text)


def _user(text: str) -> str:
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", text, re.ASCII):
        msg = f"{text!a} is not the name of a user"
        raise argparse.ArgumentTypeError(msg)
    return text


def _command(text: str) -> str:
    if not text.strip().isprintable() or set(text) & set("\"'\\"):
        msg = "write a command of plain words, without quotes"
        raise argparse.ArgumentTypeError(msg)
    return text


def _host(text: str) -> str:
    found = _SSH.fullmatch(text)
    if found is None or not 0 < int(found[1] or 22) < 65536:
        msg = f"{text!a} is not of the form ssh://user@host or ssh://user@host:22"
        raise argparse.ArgumentTypeError(msg)
    return text
