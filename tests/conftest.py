"""The private Puppet Server that live and contract tests share: one for a whole run of pytest."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import hypothesis
import pytest

from espm.model import PuppetAccess
from tests.live import credentials, lab_auth
from tests.live.lab import Lab, missing

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The certname of the ordinary certificate by which the adapters under test call Puppet.
ESPM = "espm.test"

# Nothing here is about how long one example takes, and a busy machine makes some late.
hypothesis.settings.register_profile("espm", deadline=None)
hypothesis.settings.register_profile("quick", deadline=None, max_examples=20)
hypothesis.settings.register_profile("torture", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile("torture" if os.environ.get("ESPM_TORTURE") else "espm")

CERTIFICATE_STATUS = "tests: cert status"


def pytest_configure() -> None:
    """Take SIGINT again, as programs started in the background of a shell do not."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def absent(why: str) -> NoReturn:
    """Skip what needs something that is not here; fail in a run that promises to be whole."""
    if os.environ.get("ESPM_TESTS_COMPLETE"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session", autouse=True)
def _scratch() -> Iterator[None]:
    """Have processes that tests kill leave their temporary files where they are swept up."""
    # Ours, and pytest's, stay where they are: it keeps those of the last runs.
    tempfile.gettempdir()
    with (
        tempfile.TemporaryDirectory(prefix="espm-tests-") as name,
        pytest.MonkeyPatch.context() as to,
    ):
        Path(name).chmod(0o1777)
        to.setenv("TMPDIR", name)
        yield


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Return a running Puppet Server: that in the directory ESPM_LAB, if set, else a new one."""
    if running := os.environ.get("ESPM_LAB"):
        yield Lab.attach(Path(running))
        return
    if why := missing():
        absent(why)
    # Not one of pytest's directories: it keeps those from other users, such as the daemon's.
    with tempfile.TemporaryDirectory(prefix="espm-lab-") as name:
        Path(name).chmod(0o755)
        with Lab(Path(name)) as started:
            yield started


@pytest.fixture(scope="session")
def access(lab: Lab) -> PuppetAccess:
    """Return how espm reaches the lab: an ordinary certificate with rules in auth.conf."""
    if CERTIFICATE_STATUS not in lab.auth_conf.read_text():
        lab.add_auth_rules(_rules())
    directory = lab.root / "espm-client"
    paths = directory / "cert.pem", directory / "key.pem"
    if not paths[0].exists():
        credentials.store(lab, ESPM, directory)
    certificate, private_key = map(str, paths)
    return PuppetAccess(lab.url, lab.url, certificate, private_key, str(lab.ca_file))


def _rules() -> list[lab_auth.Rule]:
    who = [ESPM, lab_auth.CA_CLI]
    names, classes = r"^/puppet-ca/v1/certificate_status/[^/]+$", "^/puppet/v3/environment_classes$"
    return [
        lab_auth.rule(CERTIFICATE_STATUS, names, "get put delete", who),
        lab_auth.rule("tests: clean", "^/puppet-ca/v1/clean$", "put", who),
        lab_auth.rule("tests: environment classes", classes, "get", ESPM),
    ]
