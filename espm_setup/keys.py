"""Preshared keys: another one for a platform that there is, and a platform more.

A key is printed before its digest is written.  So if it cannot be printed nothing is changed, and
who is interrupted may have seen a key that never comes into force, but never lacks one that does.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from espm.config.checks import MOMENT
from espm_setup import changes, ini
from espm_setup.errors import SetupError
from espm_setup.layout import Layout
from espm_setup.options import LIMITS
from espm_setup.report import RELOAD, espm, tell

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from espm.model import Json


def new_psk() -> str:
    """Return a new preshared key: 288 random bits in 48 characters."""
    return secrets.token_urlsafe(36)


def digest(psk: str) -> str:
    """Return what the configuration has for a preshared key."""
    return sha256(psk.encode()).hexdigest()


def rotate(args: argparse.Namespace) -> None:
    """Give a platform a new key, print it, and let the old one end.

    :raises espm_setup.errors.SetupError: there is no such platform, or the file is wrong.
    """
    path, name, psk = Layout.of(args).ini, args.rotate_psk, new_psk()
    # The file has whole seconds; the last one counts.
    end = datetime.now(UTC).replace(microsecond=0) + args.grace + timedelta(seconds=1)
    until = f"{end:{MOMENT}}" if args.grace else None
    kept = f"accepted until {until}, any older one no more" if until else "refused from that on"
    _say_and_write(
        args,
        partial(ini.rotated, path=path, name=name, new=digest(psk), until=until),
        {"platform": name, "preshared_key": psk, "old_psk_until": until},
        f"Then give the key to the platform; the one before it is {kept}.",
    )


def add(args: argparse.Namespace) -> None:
    """Add a platform with the limits that *args* have, and print its key.

    :raises espm_setup.errors.SetupError: there is one of that name, or the file would be wrong.
    """
    path, name, psk = Layout.of(args).ini, args.add_platform, new_psk()
    limits = {key: getattr(args, key) for key in LIMITS if getattr(args, key) is not None}
    keys = {"psk_sha256": [digest(psk)], **limits}
    _say_and_write(
        args,
        partial(ini.added, path=path, name=name, keys=keys),
        {"platform": name, "preshared_key": psk},
        f"Then give the key to the platform. What it may do: {espm()} check -c {path}",
    )


def _say_and_write(
    args: argparse.Namespace, edit: Callable[[bytes], bytes], said: dict[str, Json], then: str
) -> None:
    """Print what is *said* and to be done *then*, and make the change, having tried it before."""
    path = Layout.of(args).ini
    changes.change(path, edit, only_try=True)
    lines = [
        *("Preshared Key:", str(said["preshared_key"]), ""),
        "Only a hash of it is kept: make note of it now.",
        f"Writing that to [[{said['platform']}]] in: {path}",
        f"Next: {RELOAD}",
        then,
    ]
    tell(args, lines, {**said, "config": str(path), "next": RELOAD})
    try:
        changes.change(path, edit)
    except SetupError as exc:
        raise type(exc)(_void(exc)) from exc
    except OSError as exc:
        raise SetupError(_void(exc)) from exc


def _void(error: Exception) -> str:
    return f"{error}; forget the key that was printed: it is not in force"
