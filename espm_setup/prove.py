"""Asks Puppet whether a change of its files has come into force."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from espm.errors import BackendError
from espm.puppet_http import PuppetHttp
from espm_setup.auth_conf import CLEAN, STATUS
from espm_setup.errors import SetupError
from espm_setup.puppet import printed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from espm.model import Json, PuppetAccess
    from espm_setup.hooks import Hooks

#: Seconds between two looks; a reload of Puppet Server takes ten and more.
_PAUSE = 0.5


@dataclass(frozen=True, slots=True)
class Prover:
    """What is needed to ask.

    :ivar access: with espm's own certificate; None when it is not signed yet, so that only the
        files can be looked at.
    :ivar program: the native ``puppet``.
    :ivar section: of puppet.conf that counts.
    """

    hooks: Hooks
    access: PuppetAccess | None
    program: str
    confdir: Path | None
    section: str = "server"

    def connected(self, seconds: float) -> None:
        """Return when Puppet asks espm's ENC and lets espm in.

        :param seconds: how long that may take.
        :raises espm_setup.errors.SetupError: it took longer; says what is still wrong.
        """
        checks = [self._asks_us]
        if self.access:
            checks += [self._manages_certificates] if STATUS in self.hooks.rights else []
            checks += [self._cleans] if CLEAN in self.hooks.rights else []
            checks += [self._sees_classes]
            # What another ENC says of espm's own name is not ours to judge.
            checks += [] if self.hooks.has_fallback else [self._gets_a_node]
        _wait_for(checks, seconds)

    def disconnected(self, seconds: float) -> None:
        """Return when Puppet lets espm in no more; likewise."""
        ours = STATUS in self.hooks.rights
        _wait_for([self._is_kept_out] if self.access and ours else [], seconds)

    def _asks_us(self) -> str:
        settings = printed(self.program, self.confdir, self.section)
        wanted = ("exec", " ".join(self.hooks.enc))
        if (settings.get("node_terminus"), settings.get("external_nodes")) != wanted:
            return f"'puppet config print --section {self.section}' does not show espm_enc"
        return ""

    def _manages_certificates(self) -> str:
        return self._call(
            "certificate_status of puppet-ca/v1", self._status_path(), (404,), ca=True
        )

    def _cleans(self) -> str:
        # Nothing is cleaned, for no name is given.
        nobody: Json = {"certnames": []}
        return self._call(
            "clean of puppet-ca/v1", "/puppet-ca/v1/clean", (200,), ca=True, json=nobody
        )

    def _is_kept_out(self) -> str:
        return self._call("certificate_status is still open", self._status_path(), (403,), ca=True)

    def _sees_classes(self) -> str:
        # An environment may be missing; what counts is that it was looked for.
        path = "/puppet/v3/environment_classes?environment=production"
        return self._call("environment_classes", path, (200, 304, 404))

    def _gets_a_node(self) -> str:
        path = f"/puppet/v3/node/{self.hooks.certname}?environment=production"
        return self._call("the ENC, asked by Puppet Server", path, (200,))

    def _status_path(self) -> str:
        return f"/puppet-ca/v1/certificate_status/espm-{secrets.token_hex(8)}.invalid"

    def _call(
        self, what: str, path: str, accept: tuple[int, ...], *, ca: bool = False, json: Json = None
    ) -> str:
        """Return what is wrong with a GET of *path*, or with a PUT of *json*, or nothing."""
        if self.access is None:
            return ""
        http = PuppetHttp(self.access.ca_url if ca else self.access.url, self.access)
        try:
            method = "GET" if json is None else "PUT"
            http.call(method, path, json=json, accept=accept, timeout=30)
        except BackendError as exc:
            return f"{what}: {exc}"
        finally:
            http.close()
        return ""


def _wait_for(checks: list[Callable[[], str]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while wrong := [fault for check in checks if (fault := check())]:
        if time.monotonic() > deadline:
            msg = "Puppet does not do as its files say: " + "; ".join(wrong)
            raise SetupError(msg)
        time.sleep(_PAUSE)
