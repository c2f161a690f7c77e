"""The first run: everything is made, or nothing is."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from typing import TYPE_CHECKING

from espm import x509
from espm.classifier import directory as enc_directory
from espm_setup import as_owner, client, files, ledger, tools
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
    named = program("puppet", args.puppet)
    return find(named, args.confdir, args.server_confdir, args.stack.section)


def prepare(args: argparse.Namespace) -> Plan:
    """Return what a first run will do, having found that nothing is in its way.

    :raises espm_setup.errors.SetupError: something is; nothing was changed.
    """
    layout = Layout.of(args)
    layout.check(create=args.create, enc=args.stack.server)
    plan = plans.make(args, layout, discover(args) if args.stack.server else None)
    if plan.tools:
        tools.check(plan.tools, plan.layout.certificates)
    return plan


def owner(args: argparse.Namespace, plan: Plan) -> files.Owner:
    """Return who is to run espm: the one named, else Puppet Server's user, else who runs this.

    Where no file of espm's is Puppet's to read, it is a user of espm's own.

    :raises espm_setup.errors.SetupError: there is no such user, or only root may choose one.
    """
    own = "espm" if plan.hooks is None and os.geteuid() == 0 else None
    return files.owner(args.user or _puppet_user(plan.puppet) or own)


def carry_out(plan: Plan, args: argparse.Namespace, undo: Undo) -> str:
    """Make everything, noting how to take it back.

    :returns: what is missing before espm's own certificate is there; empty when it is.
    """
    own = owner(args, plan)
    _directories(plan, own, undo)
    _files(plan, args, own, undo)
    if plan.tools:
        tools.place(plan.tools, plan.layout.certificates, own, undo)
    if plan.hooks:
        _enc(plan, own, undo)
    _ledger(plan, own, undo)
    return fetch(plan, own, args, undo) if plan.hooks else ""


def fetch(plan: Plan, owner: files.Owner, args: argparse.Namespace, undo: Undo) -> str:
    """Get espm's own certificate; return why it is not there yet, or nothing."""
    if plan.hooks is None or plan.client_key is None:
        return ""
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
    if args.stack.tools:
        return client.CertSigner(program("puppet", args.puppet), config, user)
    return client.Signer(program("puppetserver", args.puppetserver), config, user)


def _puppet_user(puppet: Puppet | None) -> str | None:
    """Return Puppet Server's user, if root asks and there is one."""
    if os.geteuid() != 0 or puppet is None:
        return None
    try:
        return pwd.getpwnam(puppet.settings["user"]).pw_name
    except KeyError:
        return None


def _directories(plan: Plan, owner: files.Owner, undo: Undo) -> None:
    layout = plan.layout
    public = (*owner.public[:2], 0o755)
    enc = [layout.enc.parent] if plan.hooks else []
    ledger_parent = [layout.ledger.parent.parent] if layout.ledger else []
    for path in (layout.directory, layout.certificates, *enc, *ledger_parent):
        files.make_with_parents(path, public, undo)


def _files(plan: Plan, args: argparse.Namespace, owner: files.Owner, undo: Undo) -> None:
    layout = plan.layout
    _create(layout.server_key, x509.key_pem(plan.server_key), owner.secret, undo)
    if plan.client_key:
        _create(layout.client_key, x509.key_pem(plan.client_key), owner.secret, undo)
    _create(layout.server_certificate, plan.certificate, owner.public, undo)
    if plan.ca_file:
        _create(layout.ca_file, plan.ca_file.read_bytes(), owner.public, undo)
    if plan.hooks and not layout.groups.exists():
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
