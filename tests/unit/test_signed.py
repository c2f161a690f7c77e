"""The CA's directory of signed certificates, to be read, and to heal from."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from espm import x509
from espm.ca import directories, http_api, probes
from espm.ca.signed import Signed
from espm.errors import BackendRefused, BackendUnavailable
from espm.model import HEALING, Certname, PuppetAccess
from espm.puppet_http import Reply
from tests.fakes import FakeCa

NAME = Certname("web1.example.com")
ACCESS = PuppetAccess("https://localhost:1", "https://localhost:1", "", "", "")


@pytest.mark.parametrize("key", ["signed_dir", "requests_dir"])
def test_what_a_dead_espm_left_is_removed_and_nothing_else(tmp_path: Path, key: str) -> None:
    """Only files of its names that are old: another may heal now, or try the directory."""
    left, young, theirs = (
        tmp_path / f"{name}.pem" for name in (f"{HEALING}1a", f"{HEALING}1b", "web1.example.com")
    )
    for file in (left, young, theirs):
        file.write_text("x")
    old = time.time() - probes.OLD - 1
    for file in (left, theirs):
        os.utime(file, (old, old))

    ca = http_api.connect({key: str(tmp_path)}, ACCESS)
    assert isinstance(ca, http_api.HttpApi)
    assert not (ca.can_heal() if key == "signed_dir" else ca.puts())

    assert sorted(tmp_path.iterdir()) == sorted([young, theirs])


class Server:
    """A CA server that answers for espm's own certificate, put back into its directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.calls: list[str] = []

    def call(self, method: str, path: str, **_: object) -> Reply:
        """Answer with the file, as Puppet Server does."""
        name = path.rsplit("/", 1)[-1]
        self.calls.append(f"{method} {'probe' if name.startswith(HEALING) else name}")
        if path.startswith("/status/"):
            return Reply(200, b'{"service_version": "7.9.5"}')
        file = self.directory / f"{name}.pem"
        if file.exists():
            return Reply(200, file.read_bytes())
        return Reply(404, f"Could not find certificate {name}".encode())


def held(name: str) -> bytes:
    """Return a certificate of *name*."""
    ca = FakeCa()
    ca.submit(Certname(name), x509.new_csr(Certname(name), x509.new_key()))
    return ca.sign(Certname(name)).pem


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return the file of espm's own certificate."""
    file = tmp_path / "own.pem"
    file.write_bytes(held("espm.example.com"))
    return file


def reading(server: Server, directory: Path, own: Path) -> http_api.HttpApi:
    """Return the CA on *server* with a directory, which may be another one."""
    return http_api.HttpApi(
        server,  # type: ignore[arg-type]
        signed=Signed(directory),
        certificate=own,
        full=True,
    )


def test_certificates_are_read_where_the_ca_keeps_them(tmp_path: Path, own: Path) -> None:
    """One call proves the directory; after that nobody is asked."""
    server = Server(tmp_path)
    ca = reading(server, tmp_path, own)
    (tmp_path / f"{NAME}.pem").write_bytes(held(NAME))

    assert ca.certificate(NAME) == (tmp_path / f"{NAME}.pem").read_bytes()
    assert ca.certificate(Certname("web2.example.com")) is None
    assert server.calls == ["GET probe"]


def test_whether_many_can_be_cleaned_is_not_asked_each_time(tmp_path: Path, own: Path) -> None:
    """Directory and version are looked at once, and count for a while."""
    server = Server(tmp_path)
    ca = reading(server, tmp_path, own)

    assert [ca.can_clean() for _ in range(3)] == [True] * 3
    assert server.calls == ["GET probe", "GET ca"]


def test_two_that_try_a_directory_at_once_do_not_disturb_each_other(
    tmp_path: Path, own: Path
) -> None:
    """As ``espm check`` beside the daemon: neither takes away what the other has put there."""
    seen: list[str] = []
    shared = Signed(tmp_path)

    def find(kind: str, name: Certname) -> bytes | None:
        seen.append(name)
        if len(seen) == 1:
            assert directories.Directories(find, shared, None, own).signed.get() is shared
        file = tmp_path / f"{name}.pem"
        return file.read_bytes() if kind == "certificate" and file.exists() else None

    assert directories.Directories(find, shared, None, own).signed.get() is shared
    assert len(set(seen)) == 2


def test_what_cannot_be_put_there_whole_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full, for example."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)

    with pytest.raises(BackendUnavailable), Signed(tmp_path).put_back("x", "1a"):
        pass
    assert [*tmp_path.iterdir()] == []


def test_another_directory_is_not_believed(tmp_path: Path, own: Path) -> None:
    """What it lacks is asked for, and so is all that follows for a while."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").mkdir()
    server = Server(tmp_path / "theirs")
    (tmp_path / "theirs" / f"{NAME}.pem").write_bytes(held(NAME))
    ca = reading(server, tmp_path / "ours", own)

    assert ca.certificate(NAME) is not None
    assert ca.certificate(NAME) is not None
    assert server.calls == ["GET probe", f"GET {NAME}", f"GET {NAME}"]


def test_what_cannot_be_read_is_asked_for(tmp_path: Path, own: Path) -> None:
    """A file that is being written, or of another name, is the CA's to answer for."""
    server = Server(tmp_path)
    ca = reading(server, tmp_path, own)
    ca.certificate(NAME)
    (tmp_path / f"{NAME}.pem").write_bytes(b"-----BEGIN CERT")

    with pytest.raises(BackendRefused):
        ca.certificate(NAME)

    assert server.calls[-1] == f"GET {NAME}"


def test_a_directory_that_is_gone_tells_nothing(tmp_path: Path, own: Path) -> None:
    """Its mount may be away; that frees no name."""
    directory = tmp_path / "signed"
    directory.mkdir()
    server = Server(directory)
    ca = reading(server, directory, own)
    ca.certificate(NAME)
    directory.rmdir()

    ca.certificate(NAME)

    assert server.calls[-1] == f"GET {NAME}"
