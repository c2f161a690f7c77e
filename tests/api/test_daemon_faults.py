"""What espm says, and how it ends, when it cannot start."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import trustme

import espm as package
from tests.api.process import Site, espm
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from subprocess import CompletedProcess

PASSWORD = "hunter2-of-the-ledger"


def _faulty_config(site: Site) -> None:
    site.sample.set("server", port="http", prot="8443")
    site.sample.platform(psk_sha256="short")


def _busy_port(site: Site) -> None:
    """The fixture holds it."""


def _busy_metrics_port(site: Site) -> None:
    port = site.sample.sections["server"]["port"]
    site.sample.set("server", port=str(free_port()), metrics_port=port)


def _one_port_for_both(site: Site) -> None:
    port = str(free_port())
    site.sample.set("server", port=port, metrics_port=port)


def _without_ledger(site: Site) -> None:
    (site.directory / "ledger.db").unlink()


def _empty_ledger(site: Site) -> None:
    (site.directory / "ledger.db").write_bytes(b"")


def _faulty_groups(site: Site) -> None:
    site.groups("groups:\n  - name: a\n    parent: nosuch\n  - name: a\n")


def _far_ledger(site: Site) -> None:
    site.sample.set("ledger", url=f"postgresql+psycopg://espm:{PASSWORD}@127.0.0.1:1/espm")


def _odd_ledger(site: Site) -> None:
    site.sample.set("ledger", url=f"mysql://espm:{PASSWORD}@127.0.0.1/espm")


FAULTS: dict[str, tuple[Callable[[Site], None], int, int, str]] = {
    "config": (_faulty_config, 78, 3, "did you mean port?"),
    "port": (_busy_port, 69, 1, "Address already in use"),
    "metrics port": (_busy_metrics_port, 69, 1, "[server] metrics_port): Address already in use"),
    "one port": (_one_port_for_both, 69, 1, "Address already in use"),
    "no ledger": (_without_ledger, 78, 1, "ledger"),
    "empty ledger": (_empty_ledger, 78, 1, "espm_setup"),
    "groups": (_faulty_groups, 78, 2, "nosuch"),
    "far ledger": (_far_ledger, 69, 1, "ledger"),
    "odd ledger": (_odd_ledger, 78, 1, "[ledger] url"),
}


@pytest.fixture(scope="module")
def outcomes(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, CompletedProcess[str]]]:
    """How espm ended with each fault; they are tried at once, for each takes its time."""
    authority = trustme.CA()
    with socket.socket() as taken, ThreadPoolExecutor(4) as pool:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        inis = []
        for fault, *_ in FAULTS.values():
            site = Site.make(tmp_path_factory.mktemp("fault"), authority, "https://127.0.0.1:1")
            site.sample.set("server", port=str(taken.getsockname()[1]))
            fault(site)
            site.sample.write()
            inis.append(site.ini)
        done = pool.map(lambda ini: espm("-c", ini), inis)
        yield dict(zip(FAULTS, done, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_it_says_what_is_wrong(outcomes: dict[str, CompletedProcess[str]], name: str) -> None:
    """One line on standard error for each fault, the exit code of its kind, no traceback and no
    secret.
    """
    _, code, lines, word = FAULTS[name]
    done = outcomes[name]

    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == lines, done.stderr
    assert all(line.startswith("espm: ") for line in done.stderr.splitlines())
    assert word in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    """It is named, and so is the reason."""
    done = espm("-c", str(tmp_path / "none.ini"))

    assert done.returncode == 78
    assert "none.ini" in done.stderr
    assert "No such file or directory" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_command_line() -> None:
    """The version is one line on standard output; without a configuration there is nothing to
    run, which is a usage error.
    """
    version, nothing = espm("--version"), espm()

    assert (version.returncode, version.stdout) == (0, f"espm {package.__version__}\n")
    assert nothing.returncode == 2
    assert "-c FILE is missing" in nothing.stderr
