"""Two ways from espm to the dashboard stand-in: through the real helper, and without a process."""

from __future__ import annotations

import io
import shutil
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espm.host import connect
from espm.model.output import Output
from tests.legacy import dashboard_enc
from tests.legacy.dashboard_rake import Rake

if TYPE_CHECKING:
    from collections.abc import Callable

    from espm.ports.host import Host
    from tests.legacy.dashboard import Dashboard

HELPER = Path(__file__).parents[2] / "etc" / "espm_tools"

#: The keys of [classifier] and [dashboard] that lead to no host.
OPTIONS: dict[str, Any] = {
    "environment": "production",
    "withheld_class": "espm_withheld",
    "classes_cache": 300.0,
    "command_timeout": 60.0,
}


def helper_options(dashboard: Dashboard, *, external_node: bool = True) -> dict[str, Any]:
    """Return the keys of [dashboard] for a helper of its own beside *dashboard*."""
    program = dashboard.directory / "espm_tools"
    shutil.copy(HELPER, program)
    program.chmod(0o755)
    settings = {
        "rake": dashboard.rake,
        "rakefile": dashboard.rakefile,
        "external_node": dashboard.external_node if external_node else "",
    }
    lines = [f"{key} = {value}\n" for key, value in settings.items()]
    program.with_name("espm_tools.conf").write_text("".join(lines))
    ssh = dict.fromkeys(("ssh_key", "ssh_known_hosts", "ssh_config"), "")
    return {"host": "local", "tools": str(program), "sudo": False, **ssh, **OPTIONS}


def helper_host(dashboard: Dashboard, *, external_node: bool = True) -> Host:
    """Return the way to *dashboard* through the real helper."""
    return connect(helper_options(dashboard, external_node=external_node))


class DirectHost:
    """What the helper does for the dashboard, in this process; its names are not checked.

    :ivar external_node: whether the settings name the ENC.
    :ivar calls: verb and arguments of each call so far.
    :ivar before: by task, what somebody else does just before it.
    :ivar instead: by task, how it ends instead of doing anything.
    """

    def __init__(self, dashboard: Dashboard) -> None:
        self.dashboard = dashboard
        self.external_node = True
        self.calls: list[tuple[str, ...]] = []
        self.before: dict[str, Callable[[], object]] = defaultdict(lambda: lambda: None)
        self.instead: dict[str, Output | Exception] = {}

    def call(
        self, verb: str, *arguments: str, stdin: bytes | None = None, timeout: float
    ) -> Output:
        """Do what the helper does; see :class:`espm.ports.host.Host`."""
        self.calls.append((verb, *arguments))
        what = arguments[0] if verb == "rake" else verb
        self.before[what]()
        if found := self.instead.get(what):
            if isinstance(found, Exception):
                raise found
            return found
        if verb == "enc":
            return self._enc(arguments[0])
        return self._rake(arguments) if verb == "rake" else Output(0, b"", b"")

    def tasks(self) -> list[str]:
        """Return the tasks that were run so far."""
        return [call[1] for call in self.calls if call[0] == "rake"]

    def _rake(self, arguments: tuple[str, ...]) -> Output:
        words = ("-T", "node:") if arguments == ("tasks",) else arguments
        out, err = io.StringIO(), io.StringIO()
        rake = Rake(self.dashboard.directory, self.dashboard.version, {}, out, err)
        status = rake.main(["-f", str(self.dashboard.rakefile), "-s", *words])
        return Output(status, out.getvalue().encode(), err.getvalue().encode())

    def _enc(self, name: str) -> Output:
        if not self.external_node:
            return Output(66, b"", b"espm_tools: external_node is not set\n")
        out, err = io.StringIO(), io.StringIO()
        made = self.dashboard
        status = dashboard_enc.run(made.directory, made.version, name, out, err)
        return Output(status, out.getvalue().encode(), err.getvalue().encode())
