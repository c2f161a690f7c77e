"""An old Puppet's CA with the helper beside it, for tests of what espm does with them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espm.ca import puppet_cert
from espm.host.local import LocalHost
from espm.model import PuppetAccess
from tests.legacy.puppet_cert import Tree, legacy_puppet
from tests.tools_tree import HELPER, host_options

if TYPE_CHECKING:
    from espm.ca.puppet_cert import PuppetCert

_NOBODY = PuppetAccess("", "", "", "", "")


@dataclass(frozen=True, slots=True)
class OldCa:
    """A stand-in of ``puppet`` and a helper that runs it.

    :ivar tree: the stand-in, its files and its log.
    :ivar helper: the copy of ``espm_tools``.
    """

    tree: Tree
    helper: Path

    @property
    def ca(self) -> Path:
        """The CA's directory."""
        return self.tree.ssldir / "ca"

    def settings(self, **values: object) -> None:
        """Write the helper's settings."""
        known = {"puppet": self.tree.program, "confdir": self.tree.confdir}
        text = "".join(f"{key} = {value}\n" for key, value in (known | values).items())
        self.helper.with_name("espm_tools.conf").write_text(text)

    def connect(self, **options: Any) -> PuppetCert:
        """Return the way to it, as espm connects it."""
        keys = host_options(self.helper) | {"native_generate": False} | options
        return puppet_cert.connect(keys, _NOBODY)

    def ruby(self, action: str = "") -> list[list[str]]:
        """Return the arguments of each ``puppet cert``, or of those with one action."""
        argvs = [command.argv for command in self.tree.commands() if command.argv[0] == "cert"]
        return [argv for argv in argvs if action in ("", argv[1])]


def old_ca(directory: Path, version: str, **values: Any) -> OldCa:
    """Make an old Puppet with a CA, with quick keys, and a helper.

    :param values: see :meth:`tests.legacy.puppet_cert.Tree.tell`.
    """
    tree = legacy_puppet(directory / "old", version)
    tree.tell(keylength=1024)
    tree.cert("list")
    tree.tell(**values)
    helper = directory / "espm_tools"
    shutil.copy(HELPER, helper)
    made = OldCa(tree, helper)
    made.settings()
    return made


def certificate_file(ca: PuppetCert, name: str) -> Path:
    """Return where the CA that *ca* leads to has the certificate of *name*."""
    host = ca._tools.host
    assert isinstance(host, LocalHost)
    conf = Path(host._argv[0] + ".conf").read_text()
    confdir = next(line for line in conf.splitlines() if line.startswith("confdir"))
    return Path(confdir.partition("= ")[2], "ssl", "ca", "signed", f"{name}.pem")
