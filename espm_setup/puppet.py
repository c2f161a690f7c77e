"""Finds the Puppet Server of this machine, and what espm must know of it.

Only the native program knows for certain how puppet.conf, its sections and its defaults add up,
so it is asked: ``puppet config print --section server``.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from espm.ca.agent_http import AgentHttp
from espm.command import run
from espm.errors import BackendError, InvalidCertname
from espm.model import Certname, PuppetAccess
from espm.puppet_http import PuppetHttp
from espm.puppet_settings import assignments

if TYPE_CHECKING:
    from collections.abc import Mapping

_SETTINGS = (
    *("ca_port", "ca_server", "cacrl", "cadir", "certname", "confdir", "config", "csr_attributes"),
    *("environmentpath", "external_nodes", "group", "hostcert", "hostprivkey", "localcacert"),
    *("node_terminus", "server", "serverport", "ssldir", "user"),
)

#: Settings that had another name while the section was called so.
_FORMER: Mapping[str, Mapping[str, str]] = {"server": {}, "master": {"serverport": "masterport"}}
_LATER = {"masterport": "serverport"}

# Puppet's own packages and Debian's; PATH comes first.
_PROGRAMS = "/opt/puppetlabs/bin:/opt/puppetlabs/server/bin:/usr/bin:/usr/local/bin"


@dataclass(frozen=True, slots=True)
class Puppet:
    """The Puppet of this machine.

    :ivar settings: of the server, by name, as ``puppet config print`` says them.
    :ivar conf_d: the directory of Puppet Server's auth.conf, if it was found.
    :ivar port: where Puppet Server listens.
    :ivar infra_crl: whether the CA serves the infrastructure's CRL only.
    :ivar infrastructure: the certnames of infra_inventory.txt.
    """

    settings: Mapping[str, str]
    conf_d: Path | None
    port: str
    infra_crl: bool
    infrastructure: tuple[str, ...]

    @property
    def config(self) -> Path:
        """The path of puppet.conf."""
        return Path(self.settings["config"])

    @property
    def url(self) -> str:
        """Where the compile server is; by its certname unless its clients have another name."""
        server = self.settings["server"]
        name = self.settings["certname"] if server == "puppet" else server
        return f"https://{name}:{self.port}"

    @property
    def ca_url(self) -> str:
        """Where the CA server is."""
        server = self.settings["ca_server"]
        if server in ("puppet", self.settings["server"]):
            return self.url
        return f"https://{server}:{self.settings['ca_port']}"

    @property
    def ca_file(self) -> Path | None:
        """The CA certificates: the agent's copy, else the CA's own."""
        known = (Path(self.settings["localcacert"]), Path(self.settings["cadir"]) / "ca_crt.pem")
        return next((path for path in known if _readable(path)), None)

    @property
    def enc(self) -> tuple[str, ...]:
        """The words of the command of the ENC that is in force; none without an ENC."""
        if self.settings["node_terminus"] != "exec" or self.settings["external_nodes"] == "none":
            return ()
        return tuple(self.settings["external_nodes"].split())


def program(name: str, given: str | None = None) -> str | None:
    """Return the absolute path of the program *given*, or of *name* where it usually is."""
    found = (
        shutil.which(given) if given else shutil.which(name) or shutil.which(name, path=_PROGRAMS)
    )
    return str(Path(found).absolute()) if found else None


def find(
    puppet: str | None,
    confdir: Path | None,
    server_confdir: Path | None,
    section: str = "server",
) -> Puppet | None:
    """Return the Puppet of this machine; None when there is none.

    :param puppet: the program, from :func:`program`.
    :param section: of puppet.conf that counts: ``master`` up to Puppet 5.
    """
    settings = printed(puppet, confdir, section) if puppet else {}
    if not settings:
        return None
    conf_d = server_confdir or _conf_d(Path(settings["confdir"]))
    return Puppet(
        settings,
        conf_d,
        _hocon_value(conf_d, "webserver.conf", "ssl-port") or settings["serverport"],
        _hocon_value(conf_d, "ca.conf", "enable-infra-crl") == "true",
        _infrastructure(Path(settings["cadir"])),
    )


def printed(puppet: str, confdir: Path | None, section: str = "server") -> Mapping[str, str]:
    """Return the server's settings; empty when the program does not answer sensibly."""
    names = [_FORMER[section].get(name, name) for name in _SETTINGS]
    argv = [puppet, "config", "print", "--section", section, *names]
    argv += ["--confdir", str(confdir)] if confdir else []
    with suppress(BackendError):
        output = run(argv, timeout=60)
        said = assignments(output.stdout)
        settings = {_LATER.get(name, name): value for name, value in said.items()}
        if settings.keys() >= set(_SETTINGS):
            return settings
    return {}


def version(url: str, ca_file: Path) -> str | None:
    """Return the version of the server that runs the CA; None when it does not answer."""
    access = PuppetAccess(url, url, "", "", str(ca_file), timeout=10)
    http = PuppetHttp(url, access)
    try:
        return AgentHttp(http).version()
    except BackendError:
        return None
    finally:
        http.close()


def _conf_d(confdir: Path) -> Path | None:
    known = (confdir / "puppetserver/conf.d", confdir.parent / "puppetserver/conf.d",
             confdir.parent / "conf.d")  # fmt: skip
    return next((path for path in known if _readable(path / "auth.conf")), None)


def _hocon_value(conf_d: Path | None, name: str, key: str) -> str | None:
    """Return what the line of *key* says; files that are more than lines are not understood."""
    if conf_d is None or not _readable(conf_d / name):
        return None
    text = (conf_d / name).read_text(encoding="utf-8", errors="replace")
    match = re.search(rf'(?m)^[^#\n]*?\b{key}"?\s*[:=]\s*"?([A-Za-z0-9]+)', text)
    return match[1] if match else None


def _infrastructure(cadir: Path) -> tuple[str, ...]:
    try:
        lines = (cadir / "infra_inventory.txt").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    return tuple(name for name in map(str.strip, lines) if _is_certname(name))


def _readable(path: Path) -> bool:
    """Return whether we may read *path*; what others keep to themselves is not there for us."""
    return os.access(path, os.R_OK)


def _is_certname(name: str) -> bool:
    try:
        Certname(name)
    except InvalidCertname:
        return False
    return True
