"""The first run: everything is made, or nothing is."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from typing import TYPE_CHECKING

from espm import x509
from espm.classifier import directory as enc_directory
from espm_setup import as_owner, client, files, ledger
from espm_setup import plan as plans
from espm_setup.errors import NotPermitted
from espm_setup.layout import Layout
from espm_setup.puppet import find, program

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

    from espm_setup.plan import Plan
    from espm_setup.puppet import Puppet

    Undo = Callable[..., None]


def discover(args: argparse.Namespace) -> Puppet | None:
    """Return the Puppet that *args* point at, or that of this machine."""
    return find(program("puppet", args.puppet), args.confdir, args.server_confdir)


def prepare(args: argparse.Namespace) -> Plan:
    """Return what a first run will do, having found that nothing is in its way.

    :raises espm_setup.errors.SetupError: something is; nothing was changed.
    """
    layout = Layout.of(args)
    layout.check(create=args.create)
    return plans.make(args, layout, discover(args))


def owner(args: argparse.Namespace, plan: Plan) -> files.Owner:
    """Return who is to run espm: the one named, else Puppet Server's user, else who runs this.

    :raises espm_setup.errors.SetupError: there is no such user, or only root may choose one.
    """
    return files.owner(args.user or _puppet_user(plan.puppet))


def carry_out(plan: Plan, args: argparse.Namespace, undo: Undo) -> str:
    """Make everything, noting how to take it back.

    :returns: what is missing before espm's own certificate is there; empty when it is.
    """
    own = owner(args, plan)
    _directories(plan.layout, own, undo)
    _files(plan, args, own, undo)
    _enc(plan, own, undo)
    _ledger(plan, own, undo)
    return fetch(plan, own, args, undo)


def fetch(plan: Plan, owner: files.Owner, args: argparse.Namespace, undo: Undo) -> str:
    """Get espm's own certificate; return why it is not there yet, or nothing."""
    if plan.ca_url is None:
        return (
            f"When [puppet] url in {plan.layout.ini} is filled in: espm_setup --fetch-certificate"
        )
    if plan.ca_file is None:
        return (
            f"Puppet's CA certificates were not found: put them into {plan.layout.ca_file}, "
            "then: espm_setup --fetch-certificate"
        )
    signer = signer_of(args, plan.puppet)
    try:
        pem = client.obtain(
            plan.ca_url, plan.layout.ca_file, plan.hooks.certname, plan.client_key, signer
        )
    except client.NotSigned as exc:
        return str(exc)
    _create(plan.layout.client_certificate, pem, owner.public, undo)
    return ""


def signer_of(args: argparse.Namespace, puppet: Puppet | None) -> client.Signer:
    """Return the native command that signs, as *args* name it and *puppet* needs it."""
    config = puppet.config if puppet and args.confdir else None
    user = puppet.settings["user"] if puppet else "puppet"
    return client.Signer(program("puppetserver", args.puppetserver), config, user)


def _puppet_user(puppet: Puppet | None) -> str | None:
    """Return Puppet Server's user, if root asks and there is one."""
    if os.geteuid() != 0 or puppet is None:
        return None
    try:
        return pwd.getpwnam(puppet.settings["user"]).pw_name
    except KeyError:
        return None


def _directories(layout: Layout, owner: files.Owner, undo: Undo) -> None:
    public = (*owner.public[:2], 0o755)
    for path in (layout.directory, layout.certificates):
        _make_with_parents(path, public, undo)
    _make_with_parents(layout.enc.parent, public, undo)
    if layout.ledger:
        _make_with_parents(layout.ledger.parent.parent, public, undo)


def _make_with_parents(path: Path, rights: tuple[int, int, int], undo: Undo) -> None:
    if not path.exists():
        _make_with_parents(path.parent, rights, undo)
        files.make_directory(path, rights)
        undo(path.rmdir)


def _files(plan: Plan, args: argparse.Namespace, owner: files.Owner, undo: Undo) -> None:
    layout = plan.layout
    _create(layout.server_key, x509.key_pem(plan.server_key), owner.secret, undo)
    _create(layout.client_key, x509.key_pem(plan.client_key), owner.secret, undo)
    _create(layout.server_certificate, plan.certificate, owner.public, undo)
    if plan.ca_file:
        _create(layout.ca_file, plan.ca_file.read_bytes(), owner.public, undo)
    if not layout.groups.exists():
        _create(layout.groups, plans.GROUPS.encode(), owner.public, undo)
    _create(layout.ini, plans.ini(plan, args, owner).encode(), owner.secret, undo)


def _create(path: Path, data: bytes, rights: tuple[int, int, int], undo: Undo) -> None:
    files.create(path, data, rights)
    undo(path.unlink)


def _enc(plan: Plan, owner: files.Owner, undo: Undo) -> None:
    """Make the ENC directory, for espm to write and Puppet Server's group to read."""
    path = plan.layout.enc
    marker = path / enc_directory.MARKER
    gid = files.group_id(plan.puppet.settings["group"], owner.gid) if plan.puppet else owner.gid
    if path.exists() and marker.exists():
        return
    settable = _settable(gid, owner)
    if not path.exists():
        files.make_directory(path, (owner.uid, owner.gid, 0o700))
        undo(path.rmdir)
    elif owner.privileged:
        files.give_directory(path, (owner.uid, owner.gid, 0o700))
    undo(as_owner.call, owner, lambda: _unmark(marker))
    # Only a member of the group may make a directory of it setgid.
    as_owner.call(owner, lambda: enc_directory.prepare(path, settable), groups=(gid,))


def _unmark(marker: Path) -> None:
    # Where the user may not come, it has made nothing.
    with suppress(PermissionError):
        marker.unlink(missing_ok=True)


def _settable(gid: int, owner: files.Owner) -> int | None:
    """Return *gid* if we may give files to that group.

    :raises espm_setup.errors.NotPermitted: we may not, so that Puppet Server could read nothing.
    """
    if owner.privileged or gid in (owner.gid, *os.getgroups()):
        return gid
    msg = "only root, or a member of Puppet Server's group, can make the ENC directory for it"
    raise NotPermitted(msg)


def _ledger(plan: Plan, owner: files.Owner, undo: Undo) -> None:
    ledger.make(plan.layout.ledger_url, owner, undo)
