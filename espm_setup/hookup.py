"""Puts puppet.conf and auth.conf right, proves that it works, and takes it back.

::

    ask espm_enc ──> edit auth.conf ──> edit puppet.conf ──> reload ──> prove ──> done
         │                 │                   │               │          │
         └── nothing done  └───────────────────┴───────────────┴──────────┴──> files restored,
                                                                               reloaded again

Nothing breaks for the nodes that there are: the rules only add, the ENC is asked before Puppet
is told of it, and it hands on to the one that was there before.
"""

from __future__ import annotations

import logging
import os
import pwd
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from espm.command import run
from espm.errors import BackendError
from espm_setup import auth_conf, files, puppet_conf
from espm_setup.errors import SetupError
from espm_setup.puppet import program

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from espm_setup.hooks import Hooks
    from espm_setup.puppet import Puppet

log = logging.getLogger(__name__)

# It does, for one, on SIGHUP when it cannot use what auth.conf says.
_ENDED = "a reload that fails may end Puppet Server: if it is not running, start it again"


@dataclass(frozen=True, slots=True)
class Edit:
    """One file, before and after."""

    path: Path
    old: bytes
    new: bytes


@dataclass(frozen=True, slots=True)
class Server:
    """The Puppet Server whose files are changed.

    :ivar reload: words of the command that makes it read them again.
    :ivar wait: seconds that this may take.
    """

    puppet: Puppet
    reload: tuple[str, ...]
    wait: float

    @property
    def auth_conf(self) -> Path:
        """The path of auth.conf.

        :raises espm_setup.errors.SetupError: it was not found.
        """
        if self.puppet.conf_d is None:
            msg = "Puppet Server's auth.conf was not found; name its directory: --server-confdir"
            raise SetupError(msg)
        return self.puppet.conf_d / "auth.conf"


def apply(hooks: Hooks, server: Server, prove: Callable[[float], None]) -> list[str]:
    """Connect Puppet with espm; return a line for each thing that was done.  Idempotent.

    :param prove: returns when the connection works, within so many seconds; else it raises.
    :raises espm_setup.errors.SetupError: it failed; all files are as they were.
    """
    ask_enc(hooks, server.puppet.settings["user"])
    edits = [
        _edit(server.auth_conf, lambda text: auth_conf.applied(text, hooks.certname, hooks.rights)),
        _edit(server.puppet.config, lambda text: puppet_conf.applied(text, list(hooks.enc))),
    ]
    changes = [edit for edit in edits if edit.old != edit.new]
    if not changes:
        prove(10)
        return ["Puppet's files are as they should be; nothing was changed."]
    _exchange(changes, server, prove)
    return [f"Changed {edit.path} (before: {_back_up(edit)})" for edit in changes]


def unapply(server: Server, prove: Callable[[float], None]) -> list[str]:
    """Take back what :func:`apply` did; return a line for each thing.  Idempotent.

    A file that nobody else edited becomes what it was, byte for byte; else only what is ours goes.

    :raises espm_setup.errors.SetupError: it failed; all files are as they were.
    """
    edits = [
        _edit(server.puppet.config, puppet_conf.removed),
        _edit(server.auth_conf, auth_conf.removed),
    ]
    changes = [edit for edit in edits if edit.old != edit.new]
    if not changes:
        return ["Nothing of espm is in Puppet's files; nothing was changed."]
    _exchange(changes, server, prove)
    for edit in changes:
        _drop_backup(edit)
    return [f"Restored {edit.path}" for edit in changes]


def ask_enc(hooks: Hooks, user: str) -> None:
    """Return when espm's ENC answers *user*; a broken one would stop every catalog.

    :raises espm_setup.errors.SetupError: it does not.
    """
    own = list(hooks.enc[:3])
    try:
        output = run([*_as(user), *own, hooks.certname], timeout=30)
    except BackendError as exc:
        msg = f"{own[0]} cannot be run; install it, or name it with --enc; nothing was changed"
        raise SetupError(msg) from exc
    if output.status:
        said = output.stderr.decode("utf-8", "replace").strip()
        msg = f"'{shlex.join(own)}' does not answer {user} ({said}); nothing was changed"
        raise SetupError(msg)


def _as(user: str) -> list[str]:
    """Return the words that run a command as *user*, if root asks and it makes a difference."""
    runuser = program("runuser")
    try:
        other = pwd.getpwnam(user).pw_uid
    except KeyError:
        return []
    return [runuser, "-u", user, "--"] if runuser and os.geteuid() == 0 != other else []


def _exchange(changes: Sequence[Edit], server: Server, prove: Callable[[float], None]) -> None:
    """Make all *changes*, reload and prove; if anything fails, put everything back."""
    made: list[Edit] = []
    reloaded = False
    try:
        for edit in changes:
            _back_up(edit)
            made.append(edit)
            files.replace(edit.path, edit.new, known=(edit.old,))
        reloaded = True
        _reload(server)
        prove(server.wait)
    except BaseException as exc:
        _put_back(made)
        if reloaded:
            _reload_again(server)
        if isinstance(exc, SetupError):
            msg = f"{exc}; Puppet's files are as they were"
            raise SetupError(f"{msg}; {_ENDED}" if reloaded else msg) from exc
        raise


def _put_back(made: Sequence[Edit]) -> None:
    for edit in reversed(made):
        try:
            files.replace(edit.path, edit.old, known=(edit.old, edit.new))
        except (SetupError, OSError) as exc:
            log.error("espm_setup: %s was not put back: %s", edit.path, exc)  # noqa: TRY400 - for people
        else:
            _drop_backup(Edit(edit.path, edit.new, edit.old))


def _reload(server: Server) -> None:
    try:
        output = run(server.reload, timeout=server.wait)
    except (BackendError, ValueError) as exc:
        msg = f"Puppet Server was not reloaded by '{shlex.join(server.reload)}': {exc}"
        raise SetupError(msg) from exc
    if output.status:
        said = output.stderr.decode("utf-8", "replace").strip()
        how = shlex.join(server.reload)
        msg = f"Puppet Server was not reloaded by '{how}': {said}; --reload names another command"
        raise SetupError(msg)


def _reload_again(server: Server) -> None:
    try:
        _reload(server)
    except SetupError as exc:
        log.error(  # noqa: TRY400 - for people
            "espm_setup: reload Puppet Server by hand, it may still use the changed files: %s; %s",
            exc,
            _ENDED,
        )


def _edit(path: Path, change: Callable[[str], str]) -> Edit:
    """Return what *change* makes of the file at *path*; bytes that are no UTF-8 survive."""
    old = path.read_bytes()
    try:
        new = change(old.decode("utf-8", "surrogateescape"))
    except SetupError as exc:
        msg = f"{path}: {exc}"
        raise SetupError(msg) from exc
    return Edit(path, old, new.encode("utf-8", "surrogateescape"))


def _back_up(edit: Edit) -> Path:
    """Return the copy of the file without anything of ours, made now if there is none yet."""
    target = edit.path.resolve()
    known = files.backups(target)
    if known and b"# espm begin" in edit.path.read_bytes():
        return known[-1]
    return files.back_up(target)


def _drop_backup(edit: Edit) -> None:
    """Remove the copies that say what the file says again."""
    for copy in files.backups(edit.path.resolve()):
        if copy.read_bytes() == edit.new:
            copy.unlink()
