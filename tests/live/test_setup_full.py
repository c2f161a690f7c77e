"""espm_setup --ca-scope full on a real Puppet Server: clean for espm, and nothing for others."""

from __future__ import annotations

import os
import pwd
import secrets
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live import credentials
from tests.live.stack import Stack
from tests.live.test_setup import the_native_command_works

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.lab import Lab

pytestmark = pytest.mark.live


@contextmanager
def _writable(lab: Lab, user: str) -> Iterator[None]:
    """Let *user* write into the CA's directories of signed certificates and of CSRs."""
    places = [lab.cadir / name for name in ("signed", "requests")]
    before = [(path, path.stat()) for path in (lab.cadir, *places)]
    lab.cadir.chmod(0o751)
    for path in places:
        os.chown(path, -1, pwd.getpwnam(user).pw_gid)
        path.chmod(0o770)
    try:
        yield
    finally:
        for path, was in before:
            os.chown(path, was.st_uid, was.st_gid)
            path.chmod(was.st_mode & 0o777)


def test_with_full_scope_many_are_cleaned_at_once_and_nobody_loses_anything(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One more rule lets espm clean, which it does where it can heal; the native command and a
    stranger may do what they could before.
    """
    name = f"full-{secrets.token_hex(4)}.espm.test"
    stranger = credentials.store(lab, f"s-{name}", tmp_path_factory.mktemp("stranger"))
    nobody: dict[str, list[str]] = {"certnames": []}
    root = Path(tempfile.mkdtemp(prefix="espm-full-", dir=lab.root.parent))
    options = ("--ca-scope", "full", "--certname", f"espm-{name}")
    with Stack(lab, root, options=options) as stack:
        closed = stack.check()
        the_native_command_works(lab)
        refused = lab.request("PUT", "/puppet-ca/v1/clean", nobody, cert=stranger)[0]
        with _writable(lab, stack.user):
            opened = stack.check()
            assert stack.client().add(name, certificate={}).status_code == 201
            deleted = stack.client().call("DELETE", f"/v1/nodes/{name}").status_code
    after = lab.request("PUT", "/puppet-ca/v1/clean", nobody, cert=stranger)[0]
    lab.cli("ca", "clean", "--certname", f"espm-{name},s-{name}")

    lines = ("CA rights", "CA healing", "CA requests")
    assert [closed[line] for line in lines] == [["ok", "ok"], ["FAIL"], ["warn"]]
    assert [opened[line] for line in lines] == [["ok", "ok"], ["ok"], ["ok"]]
    assert (refused, deleted, after) == (403, 204, 403)
