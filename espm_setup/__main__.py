"""``espm_setup``: parse, do one job, say what was done."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from espm.errors import EspmError
from espm_setup import install, keys, later, puppet, renewal
from espm_setup.errors import NotPermitted, SetupError
from espm_setup.layout import Layout
from espm_setup.options import parse
from espm_setup.report import Report, as_json, as_text
from espm_setup.undo import undoing

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from espm_setup.plan import Plan

_JOBS: dict[str, Callable[[argparse.Namespace], list[str] | None]] = {
    "unapply": later.unapply,
    "fetch_certificate": later.fetch,
    "upgrade": later.upgrade,
    "rotate_psk": keys.rotate,
    "add_platform": keys.add,
    "renew_certificate": renewal.renew,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``espm_setup`` and return its exit code (:mod:`espm_setup.options` explains them)."""
    args = parse(argv)
    _listen()
    try:
        _do(args)
    except SetupError as exc:
        return _failed(str(exc), exc.code)
    except PermissionError as exc:
        return _failed(f"{exc.strerror}: {exc.filename}; {_remedy()}", NotPermitted.code)
    except (EspmError, OSError) as exc:
        return _failed(str(exc), SetupError.code)
    except KeyboardInterrupt:
        return _failed("interrupted", 128 + signal.SIGINT)
    return 0


def _do(args: argparse.Namespace) -> None:
    """Do the job that *args* ask for."""
    for name, job in _JOBS.items():
        if getattr(args, name):
            if (done := job(args)) is not None:
                _say(args, done)
            return
    if args.apply and Layout.of(args).ini.exists():
        _say(args, later.apply(args))
        return
    report = _set_up(args)
    if args.apply:
        _apply_at_once(args, report)


def _set_up(args: argparse.Namespace) -> Report:
    """Make everything and say the secrets; if they cannot be said, nothing is made."""
    plan = install.prepare(args)
    with undoing() as undo:
        missing = install.carry_out(plan, args, undo)
        report = Report(
            plan,
            missing,
            _version(plan),
            will_apply=args.apply,
            name=install.owner(args, plan).name,
            user=_user(args, plan),
        )
        if not args.json:
            print(as_text(report), flush=True)  # noqa: T201
        elif not args.apply:
            print(as_json(report), flush=True)  # noqa: T201
    return report


def _apply_at_once(args: argparse.Namespace, report: Report) -> None:
    """Connect Puppet with the espm that was just made; JSON is one object, also if that fails."""
    done: list[str] = []
    try:
        done = later.apply(args)
    except SetupError as exc:
        msg = f"espm is set up, but not connected: {exc}; then repeat espm_setup --apply"
        raise type(exc)(msg) from exc
    finally:
        if args.json:
            print(as_json(report, done), flush=True)  # noqa: T201
    if not args.json:
        _say(args, done)


def _user(args: argparse.Namespace, plan: Plan) -> str | None:
    """Return who is to run espm, if that is another than the one who runs the setup."""
    owner = install.owner(args, plan)
    return owner.name if owner.other else None


def _version(plan: Plan) -> str | None:
    if plan.ca_url is None or not plan.layout.ca_file.exists():
        return None
    return puppet.version(plan.ca_url, plan.layout.ca_file)


def _say(args: argparse.Namespace, done: list[str]) -> None:
    print(json.dumps({"done": done}) if args.json else "\n".join(done))  # noqa: T201


def _remedy() -> str:
    """Return what to do about a missing permission."""
    if os.geteuid() == 0:
        return "espm's user must be able to come there: see the directories above it"
    return "run it as root?"


def _failed(message: str, code: int) -> int:
    print(f"espm_setup: {message}", file=sys.stderr)  # noqa: T201
    return code


def _listen() -> None:
    """Let SIGTERM end us through the undoing, and SIGHUP, unless whoever started us ignores it."""
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) is not signal.SIG_IGN:
            signal.signal(ending, _leave)


def _leave(number: int, _frame: object) -> NoReturn:
    """Leave through the undoing, as an exception does."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
