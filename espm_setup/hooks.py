"""What is to be changed in Puppet's own files, as plain values."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from configobj import ConfigObj, ConfigObjError

from espm import x509
from espm.errors import BackendRefused, InvalidCertname
from espm.model import Certname
from espm_setup import as_owner, auth_conf, files, puppet_conf
from espm_setup.errors import SetupError
from espm_setup.puppet import program

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from espm_setup.puppet import Puppet

ENC = "espm_enc"

#: The ledger of a configuration that names none (espm.config.spec).
LEDGER = "sqlite:////opt/espm/var/ledger.db"


@dataclass(frozen=True, slots=True)
class Hooks:
    """What connects Puppet with one espm.

    :ivar enc: the words of the command that Puppet is to ask.
    :ivar rights: what *certname* must be allowed in auth.conf.
    """

    certname: Certname
    enc: tuple[str, ...]
    rights: tuple[auth_conf.Right, ...]

    @property
    def puppet_lines(self) -> list[str]:
        """The lines for ``[server]`` in puppet.conf."""
        return puppet_conf.settings(list(self.enc))

    @property
    def auth_lines(self) -> list[str]:
        """The rules for an auth.conf as Puppet Server ships it."""
        return auth_conf.lines(self.certname, self.rights)

    @property
    def has_fallback(self) -> bool:
        """Whether names that are not espm's are answered by an ENC of the administrator's."""
        return bool(self.fallback)

    @property
    def fallback(self) -> list[str]:
        """The words of that ENC's command."""
        return [*self.enc[4::2]]


def certname(given: str | None, puppet: Puppet | None) -> Certname:
    """Return the certname of espm's own certificate.

    :raises espm_setup.errors.SetupError: *given* is none.
    """
    server = puppet.settings["certname"] if puppet else ""
    for name in [given] if given else [f"espm.{server}", f"espm-{server.partition('.')[0]}"]:
        try:
            return Certname(name)
        except InvalidCertname as exc:
            reason = str(exc)
    if given or puppet:
        msg = f"espm's own certname: {reason}; choose it with --certname"
        raise SetupError(msg)
    return Certname("espm")


def fallback(puppet: Puppet | None) -> tuple[str, ...]:
    """Return the words of the ENC that there was before ours, if there was one.

    :raises espm_setup.errors.SetupError: Puppet asks something that cannot be kept.
    """
    if puppet is None:
        return ()
    words = puppet.enc
    if words and Path(words[0]).name == ENC:
        return tuple(word for flag, word in zip(words[1::2], words[2::2], strict=False)
                     if flag == "-f")  # fmt: skip
    terminus = puppet.settings["node_terminus"]
    if terminus not in ("plain", "exec"):
        msg = f"Puppet's node_terminus is '{terminus}', which espm cannot keep beside its own ENC"
        raise SetupError(msg)
    return words


def command(given: Path | None, directory: Path, words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of our ENC's command.

    :param words: of the fallback's command.
    """
    found = str(given) if given else program(ENC, _beside_python()) or program(ENC)
    flags = (flag for word in words for flag in ("-f", word))
    return (found or f"/usr/local/bin/{ENC}", "-d", str(directory), *flags)


def rights(backend: str, scope: str) -> tuple[auth_conf.Right, ...]:
    """Return what a CA *backend* needs in auth.conf, and what the class catalogue does.

    :param scope: ``full`` for what lets ``http_api`` clean many names at once, else ``prefix``.
    """
    if backend != "http_api":
        return (auth_conf.CLASSES,)
    clean = (auth_conf.CLEAN,) if scope == "full" else ()
    return (auth_conf.STATUS, *clean, auth_conf.CLASSES)


def installed(ini: Path, args: argparse.Namespace, puppet: Puppet | None) -> Hooks:
    """Return what connects Puppet with the espm whose configuration is there already.

    :raises espm_setup.errors.SetupError: there is none, or it cannot be read.
    """
    config = read(ini)
    own = args.certname or _own(ini, config.get("puppet", {}), puppet)
    directory = config.get("builtin", {}).get("directory", "/opt/espm/enc")
    return Hooks(
        certname(own, puppet),
        command(args.enc, Path(directory), fallback(puppet)),
        rights(
            config.get("ca", {}).get("backend", "http_api"),
            config.get("http_api", {}).get("ca_scope", "prefix"),
        ),
    )


def read(ini: Path) -> Mapping[str, Mapping[str, str]]:
    """Return the sections of a configuration file, unchecked.

    :raises espm_setup.errors.SetupError: there is none, or it cannot be read.
    """
    try:
        parsed = ConfigObj(str(ini), file_error=True, interpolation=False, encoding="utf-8")
    except ConfigObjError as exc:
        # Its own words repeat the line, with whatever password is in it.
        first = (getattr(exc, "errors", None) or [exc])[0]
        msg = f"{ini} cannot be read: line {first.line_number}: write 'key = value' or '[section]'"
        raise SetupError(msg) from None
    except (OSError, UnicodeDecodeError) as exc:
        msg = f"{ini} cannot be read: {exc}"
        raise SetupError(msg) from exc
    return {name: parsed[name].dict() for name in parsed.sections}


def ledger_url(config: Mapping[str, Mapping[str, str]]) -> str:
    """Return the URL of the ledger that espm opens with a configuration of these sections."""
    return ",".join(values(config.get("ledger", {}).get("url", LEDGER)))


def _own(ini: Path, section: Mapping[str, str], puppet: Puppet | None) -> str | None:
    """Return espm's own certname by what ``[puppet]`` says; None for the usual one.

    ``reserved`` has it among names of others, in no order that anybody has to keep.

    :raises espm_setup.errors.SetupError: that cannot be told.
    """
    if certified := _certified(ini, section):
        return certified
    servers = (puppet.settings["certname"], *puppet.infrastructure) if puppet else ()
    known = [name for name in values(section.get("reserved", ())) if name not in servers]
    if len(known) > 1 and certname(None, puppet) not in known:
        msg = (
            f"which of these is espm's own certname, {ini} does not tell: {', '.join(known)}; "
            "name it with --certname"
        )
        raise SetupError(msg)
    return known[0] if len(known) == 1 else None


def _certified(ini: Path, section: Mapping[str, str]) -> str | None:
    """Return whom espm's own certificate names, if it is there."""
    path = Path(section.get("certificate") or "/")
    # A configuration of somebody's own may name any path: root reads none of them.
    pem = as_owner.call(files.owner_of(ini), lambda: _text(path))
    try:
        return x509.common_name(str(pem).encode()) if pem else None
    except BackendRefused as exc:
        msg = f"{path}, which [puppet] certificate names, is not a certificate"
        raise SetupError(msg) from exc


def _text(path: Path) -> str | None:
    return path.read_text("ascii", errors="replace") if path.is_file() else None


def values(value: str | Sequence[str]) -> Sequence[str]:
    """Return the parts of a value, which configobj takes for a list where there is a comma."""
    return (value,) if isinstance(value, str) else value


def _beside_python() -> str | None:
    """Return the program in the virtual environment that we run in."""
    found = Path(sys.executable).parent / ENC
    return str(found) if found.is_file() else None
