"""``--apply`` and ``--unapply`` for the helper of an espm that is set up already."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from espm_setup import hooks, ledger, sudoers
from espm_setup.errors import NotPermitted
from espm_setup.layout import Layout

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


def apply(args: argparse.Namespace) -> list[str]:
    """Let espm's user run the helper by sudo, where it needs that; return what was done.

    :raises espm_setup.errors.SetupError: it failed; sudo's files are as they were.
    """
    section = _section(args)
    if (why := _needless(section)) is not None:
        return [why]
    _root("put a file into /etc/sudoers.d")
    return sudoers.apply(_user(args), Path(section.get("tools") or args.tools))


def unapply(args: argparse.Namespace) -> list[str]:
    """Take that back; return what was done.

    :raises espm_setup.errors.NotPermitted: only root may.
    """
    if (why := _needless(_section(args))) is not None:
        return [why]
    _root("remove a file from /etc/sudoers.d")
    return sudoers.unapply()


def _section(args: argparse.Namespace) -> Mapping[str, str]:
    return hooks.read(Layout.of(args).ini).get("puppet_cert", {})


def _needless(section: Mapping[str, str]) -> str | None:
    """Return why nothing is to be done to sudo on this host, if so."""
    if (host := section.get("host", "local")) != "local":
        return f"The helper is on {host}: on this host, nothing of sudo is to be changed."
    if section.get("sudo", "yes") != "yes":
        return "espm runs the helper without sudo; nothing of sudo is to be changed."
    return None


def _root(what: str) -> None:
    if os.geteuid() != 0:
        msg = f"only root may {what}"
        raise NotPermitted(msg)


def _user(args: argparse.Namespace) -> str:
    """Return the user whose the ledger of this espm is, who runs it."""
    layout = Layout.of(args)
    url = hooks.ledger_url(hooks.read(layout.ini))
    return ledger.owner(args.user, layout.ini, url, layout.enc).name
