"""What an administrator does with a private Puppet Server: commands, calls, configuration."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import subprocess
from typing import TYPE_CHECKING

from tests.live import lab_auth
from tests.live.lab_places import Places

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class LabFailed(RuntimeError):
    """The private Puppet Server did not do what it should; the message has the end of its log."""


class Administrator(Places):
    """The administrator of the server in these places, with a certificate that may do all."""

    def changed(self) -> None:
        """Make the configuration, which was changed, count; nothing to do while nothing runs."""

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the native `puppetserver ARGUMENTS --config PUPPET_CONF` and return its outcome.

        :raises LabFailed: when it exits with other than 0, unless `check` is off.
        """
        argv = ["/usr/bin/puppetserver", *arguments, "--config", str(self.puppet_conf)]
        done = subprocess.run(  # noqa: PLW1510 - checked below, with the output in the message
            argv, env=self.environment(), capture_output=True, text=True, timeout=180
        )
        if check and done.returncode:
            message = f"{' '.join(argv)} exited with {done.returncode}\n{done.stdout}{done.stderr}"
            raise LabFailed(message)
        return done

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        cert: tuple[Path, Path] | None = None,
        timeout: float = 60,
    ) -> tuple[int, bytes]:
        """Call Puppet Server's API once and return status and body.

        :param body: sent as JSON; bytes are sent as they are.
        :param cert: certificate and key of the client, by default the administrator's.
        :param timeout: seconds that each step may take.
        """
        context = ssl.create_default_context(cafile=str(self.ca_file))
        context.load_cert_chain(*(cert or (self.admin_cert, self.admin_key)))
        connection = http.client.HTTPSConnection(
            "localhost", self.port, context=context, timeout=timeout
        )
        with contextlib.closing(connection):
            connection.request(method, path, *_encoded(body))
            answer = connection.getresponse()
            return answer.status, answer.read()

    def add_auth_rules(self, rules: Sequence[lab_auth.Rule]) -> None:
        """Put rules (see lab_auth.rule) at the head of auth.conf; in force at once."""
        text = lab_auth.with_rules(self.auth_conf.read_text(), list(rules))
        self.auth_conf.write_text(text)
        self.changed()

    def set_enc(self, command: str | Path | None) -> None:
        """Make `command` the ENC, or have none again; in force at once."""
        lines = self.puppet_conf.read_text().splitlines(keepends=True)
        kept = [x for x in lines if not x.startswith(("node_terminus", "external_nodes"))]
        if command is not None:
            kept += ["node_terminus = exec\n", f"external_nodes = {command}\n"]
        self.puppet_conf.write_text("".join(kept))
        self.changed()

    def site_pp(self, text: str, environment: str = "production") -> None:
        """Replace site.pp of an environment, made if need be; in force at the next catalog."""
        manifests = self.codedir / "environments" / environment / "manifests"
        manifests.mkdir(parents=True, exist_ok=True)
        (manifests / "site.pp").write_text(text)

    def add_module(self, path: Path) -> None:
        """Put a module (its directory bears its name) on the module path."""
        (self.codedir / "modules" / path.name).symlink_to(path.absolute())


def _encoded(body: object) -> tuple[bytes | None, dict[str, str]]:
    if body is None:
        return None, {}
    if isinstance(body, bytes):
        return body, {"Content-Type": "text/plain"}
    return json.dumps(body).encode(), {"Content-Type": "application/json"}
