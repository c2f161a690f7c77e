"""The helper of an old Puppet with its settings, beside programs that a test has written."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

HELPER = Path(__file__).parent.parent / "etc" / "espm_tools"

#: A Puppet that says how it was called.
_PUPPET = """#!/bin/sh
echo "puppet $*"
env | sed 's/^/env /' | grep -v '^env \\(PWD\\|_\\|SHLVL\\|OLDPWD\\)='
"""


@dataclass
class Tools:
    """A helper in a directory of its own, with a CA's empty directories and settings.

    :ivar shell: the shell that runs it.
    """

    root: Path
    shell: str = "/bin/sh"

    @property
    def program(self) -> Path:
        """Where the helper is."""
        return self.root / "espm_tools"

    @property
    def ca(self) -> Path:
        """Where the CA is."""
        return self.root / "puppet" / "ssl" / "ca"

    def settings(self, **values: object) -> None:
        """Write the settings: those that every test needs, and *values*."""
        known: dict[str, object] = {
            "puppet": self.root / "bin" / "puppet",
            "confdir": self.root / "puppet",
            "rake": self.root / "bin" / "rake",
            "rakefile": self.root / "Rakefile",
        }
        text = "".join(f"{key} = {value}\n" for key, value in (known | values).items())
        self.root.joinpath("espm_tools.conf").write_text(f"# settings\n\n{text}")

    def script(self, name: str, text: str) -> Path:
        """Write a program; a new file, for one that runs can't be written."""
        path = self.root / "bin" / name
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def impatient(self) -> None:
        """Let a limit of one second be good enough."""
        text = self.program.read_text()
        assert "least=60 " in text
        self.program.write_text(text.replace("least=60 ", "least=1 "))

    def run(
        self, *arguments: str, stdin: bytes = b"", **options: Any
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the helper to its end."""
        return subprocess.run(
            [self.shell, str(self.program), *arguments],
            input=stdin,
            capture_output=True,
            check=False,
            timeout=60,
            **options,
        )

    def options(self, **values: object) -> dict[str, Any]:
        """Return the keys of a backend's section which lead to this helper."""
        return host_options(self.program) | values


def host_options(helper: Path) -> dict[str, Any]:
    """Return the keys of a backend's section which lead to a helper, here and without sudo."""
    return {
        "host": "local",
        "tools": str(helper),
        "sudo": False,
        "ssh_key": "",
        "ssh_known_hosts": "",
        "ssh_config": "",
        "command_timeout": 60.0,
    }


def make_tools(root: Path, shell: str = "/bin/sh") -> Tools:
    """Return a helper below *root* with a Puppet that does nothing."""
    tools = Tools(root, shell)
    for name in ("signed", "requests"):
        tools.ca.joinpath(name).mkdir(parents=True)
    for name in ("private_keys", "public_keys", "certs", "certificate_requests"):
        tools.ca.parent.joinpath(name).mkdir()
    for name in ("ca_key.pem", "ca_crt.pem", "ca_crl.pem", "serial", "inventory.txt"):
        tools.ca.joinpath(name).write_text("0002")
    root.joinpath("bin").mkdir()
    shutil.copy(HELPER, tools.program)
    tools.program.chmod(0o755)
    tools.script("puppet", _PUPPET)
    tools.script("rake", '#!/bin/sh\nfor each; do echo "rake $each"; done\n')
    root.joinpath("Rakefile").write_text("")
    tools.settings()
    return tools


def seen(path: Path) -> str:
    """Return how the helper is told to end the certificate at *path*: its name and SHA-256."""
    text = path.read_bytes().rstrip(b"\n") + b"\n"
    return f"{path.stem}:{sha256(text).hexdigest()}"


def others_can_write(path: Path) -> None:
    """Let everybody change the file at *path*."""
    os.chmod(path, 0o666)  # noqa: PTH101 - the shortest way to say it
