"""The jobs after the first run: on an espm whose configuration is there already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from espm import x509
from espm.model import PuppetAccess
from espm_setup import as_owner, client, files, helper, hooks, hookup, install, ledger, stack
from espm_setup.errors import SetupError
from espm_setup.layout import Layout
from espm_setup.prove import Prover
from espm_setup.puppet import Puppet, program

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from espm_setup.hooks import Hooks


def apply(args: argparse.Namespace) -> list[str]:
    """Connect Puppet with espm; return what was done.

    :raises espm_setup.errors.SetupError: it failed; Puppet's files are as they were.
    """
    args.stack = stack.installed(hooks.read(Layout.of(args).ini))
    done = helper.apply(args) if args.stack.tools else []
    return [*done, *(_connect(args) if args.stack.server else [])]


def _connect(args: argparse.Namespace) -> list[str]:
    puppet = _puppet(args)
    own = hooks.installed(Layout.of(args).ini, args, puppet)
    got, why = _missing_certificate(args)
    done = hookup.apply(own, _server(args, puppet), _prover(args, own).connected)
    if why:
        done.append(
            f"Not proved, for espm has no certificate of its own: {why}; repeat --apply then."
        )
    return [*got, *done, *_fallback(Layout.of(args).ini, own)]


def _fallback(ini: Path, own: Hooks) -> list[str]:
    """Return what is to be done where *ini* has not the ENC that names are handed on to."""
    words = own.fallback
    known = ",".join(hooks.values(hooks.read(ini).get("builtin", {}).get("fallback", "")))
    if not words or known.split() == words:
        return []
    asked = " ".join(words)
    return [f'Now set fallback = "{asked}" in [builtin] of {ini}, and restart espm.']


def _missing_certificate(args: argparse.Namespace) -> tuple[list[str], str]:
    """Get espm's own certificate where it is not there; return what was done, or why it was not."""
    if _access(args) is not None:
        return [], ""
    try:
        return fetch(args), ""
    except SetupError as exc:
        return [], str(exc)


def unapply(args: argparse.Namespace) -> list[str]:
    """Take back what :func:`apply` did; return what was done.

    :raises espm_setup.errors.SetupError: it failed; Puppet's files are as they were.
    """
    args.stack = stack.installed(hooks.read(Layout.of(args).ini))
    done = helper.unapply(args) if args.stack.tools else []
    return [*done, *(_disconnect(args) if args.stack.server else [])]


def _disconnect(args: argparse.Namespace) -> list[str]:
    puppet = _puppet(args)
    own = hooks.installed(Layout.of(args).ini, args, puppet)
    return hookup.unapply(_server(args, puppet), _prover(args, own).disconnected)


def fetch(args: argparse.Namespace) -> list[str]:
    """Get espm's own certificate; return what was done.

    :raises espm_setup.errors.SetupError: it is not signed yet, or cannot be had.
    """
    ini = Layout.of(args).ini
    args.stack = stack.installed(hooks.read(ini))
    config = hooks.read(ini).get("puppet", {})
    if not args.stack.server:
        return ["espm needs no certificate at Puppet as it is configured; nothing was done."]
    certificate = _path(config, "certificate")
    if certificate.exists():
        return [f"espm's own certificate is there already: {certificate}"]
    puppet = install.discover(args)
    own = hooks.installed(ini, args, puppet)
    url = args.ca_url or config.get("ca_url") or config.get("url")
    if not url:
        msg = f"fill in [puppet] url in {ini}, or name the CA with --ca-url"
        raise SetupError(msg)
    signer = install.signer_of(args, puppet)
    # A configuration of somebody's own may name any path: root reads and writes none of them.
    owner = files.owner_of(ini)
    ca_file, key_file = _path(config, "ca_file"), _path(config, "private_key")
    _keep_ca(ca_file, args.ca_file or (puppet.ca_file if puppet else None), owner)
    key = str(as_owner.call(owner, lambda: _key(key_file, ini, args.key_type))).encode()
    pem = client.obtain(url, ca_file, own.certname, client.private_key(key), signer)
    as_owner.call(owner, lambda: files.create(certificate, pem, (owner.uid, owner.gid, 0o644)))
    return [f"espm's own certificate {own.certname} is signed: {certificate}"]


def _key(file: Path, ini: Path, key_type: str) -> str:
    """Return the key in *file*, made now with the rights of *ini* if it is not there."""
    if not file.exists():
        rights = ini.stat()
        key = x509.key_pem(x509.new_key(key_type))
        files.create(file, key, (rights.st_uid, rights.st_gid, rights.st_mode & 0o777))
    return file.read_text("ascii")


def upgrade(args: argparse.Namespace) -> list[str]:
    """Bring the ledger to this version's schema; return what was done.

    :raises espm.errors.EspmError: it failed; the ledger is as it was.
    """
    ini = Layout.of(args).ini
    config = hooks.read(ini)
    url = hooks.ledger_url(config)
    enc = Path(config.get("builtin", {}).get("directory", "/opt/espm/enc"))
    return ledger.upgrade(url, ledger.owner(args.user, ini, url, enc))


def _puppet(args: argparse.Namespace) -> Puppet:
    found = install.discover(args)
    if found is None:
        msg = "no Puppet found on this machine; name its directory: --confdir, or --puppet"
        raise SetupError(msg)
    return found


def _server(args: argparse.Namespace, puppet: Puppet) -> hookup.Server:
    given = args.reload or _usual_reload(args)
    words = (program(given[0]) or given[0], *given[1:])
    return hookup.Server(puppet, words, args.wait)


def _usual_reload(args: argparse.Namespace) -> list[str]:
    if Path("/run/systemd/system").is_dir():
        return ["systemctl", "reload", "puppetserver"]
    return [program("puppetserver", args.puppetserver) or "puppetserver", "reload"]


def _prover(args: argparse.Namespace, own: Hooks) -> Prover:
    puppet = program("puppet", args.puppet) or "/usr/bin/puppet"
    return Prover(own, _access(args), puppet, args.confdir, args.stack.section)


def _access(args: argparse.Namespace) -> PuppetAccess | None:
    """Return how espm reaches Puppet, or None while its own certificate is not there."""
    config = hooks.read(Layout.of(args).ini).get("puppet", {})
    needed = [config.get(key, "") for key in ("url", "certificate", "private_key", "ca_file")]
    if not all(needed) or not all(Path(path).exists() for path in needed[1:]):
        return None
    url, certificate, private_key, ca_file = needed
    return PuppetAccess(url, config.get("ca_url") or url, certificate, private_key, ca_file)


def _keep_ca(path: Path, known: Path | None, owner: files.Owner) -> None:
    """Copy Puppet's CA certificates, unless the first run could do so already.

    :raises espm_setup.errors.SetupError: they are not known now either.
    """
    if path.exists():
        return
    if known is None:
        msg = f"Puppet's CA certificates were not found: put them into {path}, or name --ca-file"
        raise SetupError(msg)
    data, rights = known.read_bytes(), (owner.uid, owner.gid, 0o644)
    as_owner.call(owner, lambda: files.create(path, data, rights))


def _path(config: Mapping[str, str], key: str) -> Path:
    if not config.get(key):
        msg = f"fill in [puppet] {key} in the configuration file"
        raise SetupError(msg)
    return Path(config[key])
