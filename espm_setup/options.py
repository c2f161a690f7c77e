"""The command line of ``espm_setup``: every option, and what its exit codes mean.

No option takes a secret: other users can read the arguments of a process.
"""

from __future__ import annotations

import argparse
import shlex
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from espm import __version__
from espm_setup import options_old, values
from espm_setup.stack import STACKS, named

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EXIT_CODES = """\
exit codes:
  0   done; what is left to do by hand, if anything, is printed
  1   failed; everything that the failed step made is taken back
  2   wrong usage
  73  something that exists would be overwritten, or a directory is missing; nothing was changed
  77  the user who ran it may not do it
  129 the terminal was closed (SIGHUP); everything that was made is taken back
  130 interrupted (Ctrl-C); everything that was made is taken back
  143 terminated (SIGTERM); everything that was made is taken back
"""

#: The options that limit a new platform, and what they mean.
LIMITS = {
    "certnames": "globs of the certnames it may use",
    "groups": "globs of the groups it may put nodes into",
    "classes": "globs of the classes it may give to nodes",
    "environments": "globs of the environments it may name",
    "networks": "networks that it calls from (CIDR)",
    "extensions": "globs of the extension requests its CSRs may have",
}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return what the command line says; ends the program when it is wrong."""
    result = parser()
    args = result.parse_args(argv)
    limits = [f"--{name}" for name in LIMITS if getattr(args, name) is not None]
    if limits and args.add_platform is None:
        result.error(f"{limits[0]} goes with --add-platform only")
    if args.grace is not None and args.rotate_psk is None:
        result.error("--grace goes with --rotate-psk only")
    if args.ca_scope == "full" and args.ca != "http_api":
        result.error("--ca-scope full goes with --ca http_api only")
    args.grace = timedelta(hours=24) if args.grace is None else args.grace
    args.stack = STACKS.get((args.ca, args.classifier))
    if args.stack is None:
        result.error(f"--classifier {args.classifier} does not go with --ca {args.ca}")
    # What espm makes later suits the CA, unless the administrator says it.
    args.node_keys = args.key_type or ("auto" if args.stack.tools else args.stack.key_type)
    args.key_type = args.key_type or args.stack.key_type
    options_old.check(result, args)
    return args


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(
        prog="espm_setup",
        description="Set up espm on this machine: preshared key, certificates, ledger, ENC "
        "directory and configuration. Run it once; it never overwrites anything.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _places(result)
    _server(result)
    _puppet(result)
    options_old.add(result)
    _jobs(result)
    _platforms(result)
    result.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    result.add_argument("--version", action="version", version=f"espm_setup {__version__}")
    return result


def _places(target: argparse.ArgumentParser) -> None:
    add = target.add_argument_group("files and directories").add_argument
    add("-d", dest="directory", type=values.path, default=Path("/opt/espm/etc"),
        metavar="DIRECTORY",
        help="where the configuration file goes (default: %(default)s)")  # fmt: skip
    add("-c", dest="certificates", type=values.path, default=Path("/opt/espm/etc/certs"),
        metavar="DIRECTORY",
        help="where certificates and keys go (default: %(default)s)")  # fmt: skip
    add("--create", action="store_true", help="make these two directories when they are missing")
    add("--user", help="who will run espm and owns its secrets (default: Puppet Server's user "
        "when root runs this, espm with --classifier dashboard, else whoever runs it)")  # fmt: skip
    add("--ledger", metavar="URL", help="database URL without a password; default: SQLite, var/"
        "ledger.db beside a directory of -d named etc, else in it")  # fmt: skip
    add("--enc-directory", type=values.path, metavar="DIRECTORY",
        help="where the documents for Puppet go (default: enc, beside var)")  # fmt: skip
    add("--groups-file", type=values.path, metavar="FILE",
        help="the node groups (default: groups.yaml in the directory of -d)")  # fmt: skip


def _server(target: argparse.ArgumentParser) -> None:
    add = target.add_argument_group("espm's server and its first platform").add_argument
    add("--host", type=values.address, default="0.0.0.0", metavar="ADDRESS",  # noqa: S104 - as in 2012
        help="where espm listens (default: %(default)s, every IPv4 address)")  # fmt: skip
    add("-p", "--port", type=values.port, default=8443, help="on which port (default: %(default)s)")
    add("--name", help="host name in the certificate (default: this host's)")
    add("--san", action="append", default=[], metavar="NAME_OR_ADDRESS",
        help="a further name or address for the certificate; repeat it for more")  # fmt: skip
    add("--key-type", choices=("ec", "rsa"),
        help="type of the keys that are made (default: ec; rsa with --ca puppet_cert)")  # fmt: skip
    add("--days", type=values.days, default=3650,
        help="how long the certificate is valid (default: %(default)s)")  # fmt: skip
    add("--platform", type=values.platform, default="default", metavar="NAME",
        help="what the platform is called in the configuration (default: %(default)s)")  # fmt: skip


def _puppet(target: argparse.ArgumentParser) -> None:
    add = target.add_argument_group("Puppet (found by itself when it is on this machine)")
    option = add.add_argument
    option("--confdir", type=values.path, metavar="DIRECTORY", help="where puppet.conf is")
    option("--server-confdir", type=values.path, metavar="DIRECTORY",
           help="conf.d of Puppet Server, where auth.conf is")  # fmt: skip
    option("--puppet", metavar="PROGRAM", help="the program puppet")
    option("--puppetserver", metavar="PROGRAM", help="the program puppetserver")
    option("--enc", type=values.path, metavar="PROGRAM", help="the program espm_enc")
    option("--puppet-url", type=values.url, metavar="URL",
           help="the compile server, https://host:8140")  # fmt: skip
    option("--ca-url", type=values.url, metavar="URL", help="the CA server, if it is another one")
    option("--ca-file", type=values.path, metavar="FILE", help="the CA certificates of Puppet")
    option("--certname", help="espm's own certname (default: espm. and the server's certname)")
    _backends(option)
    option("--reload", type=shlex.split, metavar="COMMAND",
           help="reloads Puppet Server (default: systemctl reload puppetserver, or puppetserver "
           "reload without systemd)")  # fmt: skip
    option("--wait", type=values.seconds, default=300, metavar="SECONDS",
           help="how long a reload of Puppet Server may take (default: %(default)s)")  # fmt: skip


def _backends(option: Callable[..., object]) -> None:
    option("--ca", choices=named(0), default="http_api",
           help="how espm signs and revokes: over HTTPS, by the program puppetserver, or, up to "
           "Puppet 5, by puppet cert (default: %(default)s)")  # fmt: skip
    option("--ca-scope", choices=("prefix", "full"), default="prefix",
           help="what espm may do at the CA over HTTPS: certificates name by name, or also clean "
           "many at once, on the CA's own host (default: %(default)s)")  # fmt: skip
    option("--classifier", choices=named(1), default="builtin",
           help="how espm tells Puppet what a node is: by documents of its own, or by the "
           "dashboard of Puppet up to 3 (default: %(default)s)")  # fmt: skip


def _jobs(target: argparse.ArgumentParser) -> None:
    group = target.add_argument_group(
        "changing Puppet's files, and later"
    ).add_mutually_exclusive_group()
    add = group.add_argument
    add("--apply", action="store_true", help="also change puppet.conf and auth.conf as needed and "
        "reload Puppet Server, and let sudo run the helper of --ca puppet_cert; does only that "
        "when the configuration exists already")  # fmt: skip
    add("--unapply", action="store_true", help="take the changes of --apply back")
    add("--fetch-certificate", action="store_true",
        help="get espm's own certificate once the administrator has signed it")  # fmt: skip
    add("--upgrade", action="store_true",
        help="bring the ledger to this version's schema, after a backup")  # fmt: skip
    add("--rotate-psk", type=values.platform, metavar="NAME",
        help="make and print another preshared key for a platform")  # fmt: skip
    add("--add-platform", type=values.platform, metavar="NAME",
        help="add a platform, and print its preshared key")  # fmt: skip
    add("--renew-certificate", action="store_true", help="make a new server certificate for the "
        "same key, with the names it has, --san added, or those of --name")  # fmt: skip


def _platforms(target: argparse.ArgumentParser) -> None:
    add = target.add_argument_group(
        "keys of platforms, and what a new one may do",
        "A LIST is separated by commas; a lone comma is none. Without the option, the default of "
        "espm.ini is in force.",
    ).add_argument
    add("--grace", type=values.grace, metavar="DURATION",
        help="how long --rotate-psk keeps the old key good: 30m, 24h, 7d, or 0 for not at all "
        "(default: 24h)")  # fmt: skip
    for name, meaning in LIMITS.items():
        add(f"--{name}", type=values.items, metavar="LIST", help=meaning)
