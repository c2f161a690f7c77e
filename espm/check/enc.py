"""Checks of the way from Puppet Server to the ENC: puppet.conf, ``espm_enc``, its directory."""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from espm import command
from espm.check import puppet_conf
from espm.check.finding import Finding, State, counted
from espm.check.puppet import unused
from espm.config.spec import backend
from espm.errors import EspmError
from espm.ledger import open_ledger
from espm.ports import Reloadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from espm.check.finding import Context

_APPLY = "run espm_setup --apply, or change puppet.conf as espm_setup says"


def directory(context: Context) -> Iterator[Finding]:
    """Look whether the ENC can be written, its groups read, and whether they fit the nodes."""
    context.classifier.ping()
    groups = context.classifier.groups()
    if faults := _misfits(context):
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        remedy = "correct the groups file: espm does not start with it, and does not reload it"
        yield Finding("ENC", State.FAIL, f"{faults[0]}{more}", remedy)
        return
    yield Finding("ENC", State.OK, f"can be written; {counted(len(groups), 'group')}")


def _misfits(context: Context) -> Sequence[str]:
    """Return which live nodes the groups do not fit; none where the ledger can't be read."""
    if not isinstance(context.classifier, Reloadable):
        return ()
    with suppress(EspmError), open_ledger(context.config.ledger_url) as opened:
        return context.classifier.misfits(opened.nodes())
    return ()


def readers(context: Context) -> Iterator[Finding]:
    """Look whether Puppet Server can read the documents in the ENC's directory."""
    path = context.enc_directory
    if path is None:
        return
    try:
        state = path.stat()
    except OSError:
        return  # directory() has said it.
    group = path.group()
    if state.st_mode & 0o2050 == 0o2050:
        what = f"readable by group {group}; Puppet Server's user must be in it"
        yield Finding("ENC readers", State.OK, what)
    else:
        what = f"{path} is not setgid or not readable for its group ({group})"
        yield Finding("ENC readers", State.FAIL, what, f"do: chmod 2750 {shlex.quote(str(path))}")


def group_classes(context: Context) -> Iterator[Finding]:
    """Look whether the classes of the groups exist in their environments."""
    default = str(context.config.classifier_options.get("environment") or "production")
    for group in context.classifier.groups():
        if not group.classes:
            continue
        environment = group.environment or default
        known = context.catalogue.classes(environment).classes
        if lacking := sorted(set(group.classes) - set(known)):
            what = f"environment {environment} has no class {', '.join(lacking)}"
            remedy = "correct the groups file, or deploy the class"
            yield Finding(f"group {group.name}", State.WARN, what, remedy)


def hook_up(context: Context) -> Iterator[Finding]:
    """Look whether Puppet Server asks ``espm_enc``, and what that answers."""
    path = context.enc_directory
    if path is None:
        return
    confdir = puppet_conf.confdir(context.config.confdir)
    section = getattr(backend("ca", context.config.ca_backend), "SECTION", "server")
    wanted = ("node_terminus", "external_nodes")
    settings = puppet_conf.settings(wanted, context.config.confdir, section)
    if confdir is None or not settings:
        what = "Puppet is not on this host, so who asks espm_enc was not looked at"
        yield Finding("ENC hook-up", State.OK, what)
        return
    words = settings.get("external_nodes", "").split()
    options = _options(path, context.config.classifier_options.get("fallback", ""))
    conf = confdir / "puppet.conf"
    if fault := _fault(conf, section, settings.get("node_terminus", ""), words, options):
        yield Finding("ENC hook-up", State.FAIL, fault, _remedy(path, words))
        return
    yield Finding("ENC hook-up", State.OK, "Puppet Server asks espm_enc")
    yield _answer(words)


def _remedy(directory: Path, words: list[str]) -> str:
    """Return what to do where *words* are not the command that fits the configuration."""
    if words[1:3] == ["-d", str(directory)] and set(words[3::2]) == {"-f"}:
        fallback = f'set fallback = "{" ".join(words[4::2])}" in [builtin] and restart espm'
        return f"{fallback}, if that is to answer for other names; else change puppet.conf"
    return _APPLY


def _options(directory: Path, fallback: str) -> list[str]:
    """Return the options of ``espm_enc`` that fit the configuration."""
    return ["-d", str(directory), *(part for word in fallback.split() for part in ("-f", word))]


def _fault(conf: Path, section: str, terminus: str, words: list[str], wanted: list[str]) -> str:
    """Return what is wrong with the two settings in *conf*; empty when they are right."""
    if terminus != "exec":
        return f"{conf} has no node_terminus = exec in [{section}], so no node gets its classes"
    if not words or Path(words[0]).name != "espm_enc":
        return f"{conf} has another external_nodes than espm_enc"
    if words[1:] != wanted:
        return f"external_nodes in {conf} is not: {words[0]} {' '.join(wanted)}"
    return ""


def _answer(words: list[str]) -> Finding:
    """Return what comes of asking for a name that is nobody's."""
    try:
        output = command.run([*words, unused()], timeout=30)
    except (EspmError, ValueError):
        return Finding("espm_enc", State.FAIL, "it cannot be run", f"look at {words[0]}")
    if output.status != 0:
        why = output.stderr.decode("utf-8", "replace").strip().splitlines()[:1]
        what = f"it fails for names that are not espm's: {' '.join(why)}"
        return Finding("espm_enc", State.FAIL, what, f"run it as Puppet Server's user: {words[0]}")
    empty = output.stdout.strip() == b"{}"
    source = "site.pp decides" if empty else "the ENC that was there before answers"
    return Finding("espm_enc", State.OK, f"for other names, {source}")
