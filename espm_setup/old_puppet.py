"""Finds the Puppet up to version 5 of this machine, its CA and its dashboard.

Packages have them in known places (reference facts on old Puppet, on the versions); what the
command line names comes first.  Where the CA's files are only the program itself knows for certain,
so it is asked, in the way of its version: ``puppet master --configprint`` of 2.7 has become
``puppet config print``.
"""

from __future__ import annotations

import pwd
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from espm.command import run
from espm.errors import BackendError
from espm.puppet_settings import assignments
from espm_setup.errors import SetupError
from espm_setup.puppet import program

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

_SETTINGS = ("ssldir", "certname", "server", "ca_server")


@dataclass(frozen=True, slots=True)
class Package:
    """Where one kind of package has its files; empty for what it does not have.

    :ivar rake_user: who runs the dashboard's tasks.
    :ivar after_revoke: what makes the master read a new CRL (reference facts on old Puppet, 1.5).
    """

    puppet: str = ""
    confdir: str = ""
    rake: str = ""
    rakefile: str = ""
    rake_user: str = ""
    external_node: str = ""
    after_revoke: str = ""


#: Puppet Enterprise 2.x, then the collections of Puppet 4 and 5, then distributions.
PACKAGES = (
    Package(
        puppet="/opt/puppet/bin/puppet",
        confdir="/etc/puppetlabs/puppet",
        rake="/opt/puppet/bin/rake",
        rakefile="/opt/puppet/share/puppet-dashboard/Rakefile",
        rake_user="puppet-dashboard",
        external_node="/etc/puppetlabs/puppet-dashboard/external_node",
        after_revoke="service pe-httpd restart",
    ),
    Package(puppet="/opt/puppetlabs/bin/puppet", confdir="/etc/puppetlabs/puppet"),
    Package(
        puppet="/usr/bin/puppet",
        confdir="/etc/puppet",
        rake="/usr/bin/rake",
        rakefile="/usr/share/puppet-dashboard/Rakefile",
        rake_user="puppet-dashboard",
        external_node="/usr/share/puppet-dashboard/bin/external_node",
    ),
)


@dataclass(frozen=True, slots=True)
class OldPuppet:
    """The programs and files of an old Puppet.

    :ivar places: as they were found or named.
    :ivar ssldir: where the CA's files are.
    :ivar version: what the program says of itself; empty where it was not asked.
    :ivar names: certnames that are never a node's.
    """

    places: Package
    ssldir: str
    version: str = ""
    names: tuple[str, ...] = field(default=())


def find(args: argparse.Namespace) -> OldPuppet:
    """Return the old Puppet of this machine, as *args* name it or as packages have it.

    :raises espm_setup.errors.SetupError: there is none, or it is not old.
    """
    named = program("puppet", args.puppet) if args.puppet else None
    places = _present(Package() if args.puppet and not named else _of(named), args)
    if not places.puppet:
        msg = (
            "no Puppet up to version 5 was found on this machine; name the program with --puppet, "
            "or the host where it is with --tools-host"
        )
        raise SetupError(msg)
    version = _version(places.puppet)
    settings = _printed(places, version)
    known = (settings.get(name, "") for name in _SETTINGS[1:])
    return OldPuppet(places, settings["ssldir"], version, tuple(dict.fromkeys(filter(None, known))))


def assumed(args: argparse.Namespace, host: str) -> OldPuppet:
    """Return the old Puppet of another *host*: as *args* name it, and else that of PE 2.x."""
    places = _given(PACKAGES[0], args)
    return OldPuppet(places, f"{places.confdir}/ssl", names=(host,))


def _of(program: str | None) -> Package:
    """Return the package whose *program* it is, or the first that is there."""
    if program:
        known = {package.puppet: package for package in PACKAGES}
        return known.get(program, Package(puppet=program, confdir="/etc/puppet"))
    return next((each for each in PACKAGES if Path(each.puppet).is_file()), Package())


def _given(package: Package, args: argparse.Namespace) -> Package:
    """Return the places of *package* with those that *args* name instead."""
    named = {name: getattr(args, name) for name in Package.__slots__}
    known = {name: getattr(package, name) for name in Package.__slots__}
    return Package(
        **known | {name: str(value) for name, value in named.items() if value is not None}
    )


def _present(package: Package, args: argparse.Namespace) -> Package:
    """Return the same, without files of *package* that are not there, nor its unknown user."""
    there = {
        name: value
        for name in Package.__slots__
        if (value := getattr(package, name)) and _is_there(name, value)
    }
    return replace(_given(Package(**there), args), puppet=package.puppet)


def _is_there(name: str, value: str) -> bool:
    if name == "rake_user":
        return any(entry.pw_name == value for entry in pwd.getpwall())
    return name in ("after_revoke", "puppet") or Path(value).exists()


def _version(program: str) -> str:
    """Return the version of *program*.

    :raises espm_setup.errors.SetupError: it says none, or one that has no ``puppet cert``.
    """
    said = _said([program, "--version"]).decode("utf-8", "replace")
    found = re.match(r"(\d+)\.\d[\w.]*", said)
    if found is None:
        msg = f"{program} --version does not say which version of Puppet it is"
        raise SetupError(msg)
    if int(found[1]) > 5:
        msg = f"{program} is Puppet {found[0]}, which has no 'puppet cert': use --ca http_api"
        raise SetupError(msg)
    return found[0]


def _printed(places: Package, version: str) -> Mapping[str, str]:
    """Return the settings of the master.

    :raises espm_setup.errors.SetupError: the program does not say where the CA is.
    """
    words = ["master", "--configprint", ",".join(_SETTINGS)]
    if not version.startswith("2."):
        words = ["config", "print", *_SETTINGS, "--section", "master"]
    confdir = ["--confdir", places.confdir] if places.confdir else []
    settings = assignments(_said([places.puppet, *words, *confdir]))
    if not settings.get("ssldir", "").startswith("/"):
        msg = (
            f"{places.puppet} does not say where its ssldir is; see what "
            f"'{' '.join([places.puppet, *words, *confdir])}' prints, and name --confdir"
        )
        raise SetupError(msg)
    return settings


def _said(argv: list[str]) -> bytes:
    try:
        output = run(argv, timeout=120)
    except (BackendError, ValueError) as exc:
        msg = f"{argv[0]} cannot be run: name the absolute path of the program with --puppet"
        raise SetupError(msg) from exc
    return output.stdout
