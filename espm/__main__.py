"""The command ``espm``: the daemon, and what an administrator does beside it."""

from __future__ import annotations

import argparse
import re
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import espm
from espm.errors import EspmError
from espm.exits import Exit, code

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_EPILOG = """\
exit codes:
   0  stopped by a signal; or the command did its work
   1  the command found something wrong
   2  the command line is wrong
  69  a port, the ledger or Puppet is not available
  70  internal error
  75  another espm works on this ledger, or has taken it while PostgreSQL was away
  78  the configuration, the groups file, the ledger's schema or the place of a backup is wrong
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line *arguments*; return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.config is None:
        parser.error("-c FILE is missing: which configuration?")
    try:
        result: int = options.run(options)
    except EspmError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"espm: {line}\n")
        return code(error)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        sys.stderr.write(f"espm: {error.strerror}{where}\n")
        return Exit.FAILED
    except Exception:  # noqa: BLE001 - the last resort
        # A mistake of ours, not of the user's: the traceback is what a report needs.
        traceback.print_exc()
        return Exit.SOFTWARE
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="espm",
        description="The safe, narrow door between cloud platforms and Puppet. Without a "
        "command: run the daemon in the foreground.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"espm {espm.__version__}")
    parser.add_argument("-c", dest="config", metavar="FILE", type=Path, help="configuration")
    parser.set_defaults(run=_serve)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    check = _command(commands, "check", "say whether everything is as it should be", _check)
    check.add_argument("--json", action="store_true", help="print JSON")
    backup = _command(commands, "backup", "copy the ledger while espm runs", _backup)
    backup.add_argument("destination", metavar="DEST", type=Path, help="a file that is not there")
    _add_audit(commands)
    _add_doctor(commands)
    enc = commands.add_parser("enc", help="the documents of the built-in ENC")
    enc_commands = enc.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _command(enc_commands, "rebuild", "write the documents from the ledger", _rebuild)
    return parser


def _add_audit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    audit = commands.add_parser("audit", help="who did what, when and how it ended")
    inner = audit.add_subparsers(title="commands", metavar="COMMAND", required=True)
    verify = _command(inner, "verify", "say whether the audit log is whole", _verify)
    verify.add_argument(
        "--head",
        metavar="HEAD",
        type=_head,
        help="HASH or NUMBER:HASH from the log of espm: that has to be in it, too",
    )
    export = _command(inner, "export", "print the audit log as JSON lines", _export)
    export.add_argument(
        "--after", metavar="NUMBER", type=_number, default=0, help="only the rows behind that one"
    )


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    doctor = commands.add_parser("doctor", help="look through all that espm ever did")
    inner = doctor.add_subparsers(title="commands", metavar="COMMAND", required=True)
    summary = "say which revocations the CRL has lost, and what else is not as the ledger says"
    revocations = _command(inner, "revocations", summary, _revocations)
    revocations.add_argument(
        "--heal", action="store_true", help="make them good; espm must be stopped"
    )
    revocations.add_argument("--json", action="store_true", help="print JSON")


def _head(text: str) -> tuple[int | None, str]:
    found = re.fullmatch(r"(?:([0-9]{1,18}):)?([0-9a-f]{64})", text.lower())
    if found is None:
        msg = "a head is 64 hexadecimal digits, or a number, a colon and these"
        raise argparse.ArgumentTypeError(msg)
    return int(found[1]) if found[1] else None, found[2]


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        msg = f"{text!r} is not the number of a row"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary)
    # Suppressed, or it would take back a -c that was given before the command.
    parser.add_argument(
        "-c",
        dest="config",
        metavar="FILE",
        type=Path,
        help="configuration",
        default=argparse.SUPPRESS,
    )
    parser.set_defaults(run=run)
    return parser


def _serve(options: argparse.Namespace) -> int:
    from espm.daemon import serve  # noqa: PLC0415 - the other commands need no web server

    serve(options.config.absolute())
    return Exit.OK


def _check(options: argparse.Namespace) -> int:
    from espm import check  # noqa: PLC0415 - the daemon needs no checks

    return check.main(options.config, as_json=options.json)


def _backup(options: argparse.Namespace) -> int:
    from espm import commands  # noqa: PLC0415 - the daemon needs none of them

    return commands.backup(options.config, options.destination)


def _verify(options: argparse.Namespace) -> int:
    from espm import auditing, ledger  # noqa: PLC0415 - the daemon needs none of them

    return auditing.verify(options.config, options.head and ledger.Head(*options.head))


def _export(options: argparse.Namespace) -> int:
    from espm import auditing  # noqa: PLC0415 - the daemon needs none of them

    return auditing.export(options.config, options.after)


def _revocations(options: argparse.Namespace) -> int:
    from espm import doctor  # noqa: PLC0415 - the daemon needs no doctor

    return doctor.revocations(options.config, heal=options.heal, as_json=options.json)


def _rebuild(options: argparse.Namespace) -> int:
    from espm import commands  # noqa: PLC0415 - the daemon needs none of them

    return commands.rebuild(options.config)


if __name__ == "__main__":
    sys.exit(main())
