"""The CA's directory of CSRs that wait: to hand them in without a call."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from espm import x509
from espm.ca import directories, http_api
from espm.ca.signed import Signed
from espm.ca.waiting import Waiting
from espm.errors import (
    BackendRefused,
    BackendUnavailable,
    CertnameTaken,
    CsrPending,
    CsrUnknown,
    InvalidCsr,
)
from espm.model import HEALING, Certname
from espm.puppet_http import Reply
from tests.fakes import FakeCa

if TYPE_CHECKING:
    from pathlib import Path

NAME = Certname("web1.example.com")


class FakeBegun:
    """A call that is begun."""

    left = False

    def leave(self) -> None:
        """Note it."""
        self.left = True


class Server:
    """A CA server with its two directories, as much of Puppet Server as is asked here."""

    def __init__(self, root: Path) -> None:
        self.places = {"certificate": root / "signed", "certificate_request": root / "requests"}
        self.calls: list[str] = []
        self.begun: list[FakeBegun] = []
        for place in self.places.values():
            place.mkdir(parents=True)

    def begin(self, method: str, path: str, **_: object) -> FakeBegun:
        """Note what is begun."""
        self.calls.append(f"begin {method} {path.rsplit('/', 2)[-2]}")
        self.begun.append(FakeBegun())
        return self.begun[-1]

    def call(self, method: str, path: str, **_: object) -> Reply:
        """Answer with the file, and take whatever is handed in."""
        kind, name = path.rsplit("/", 2)[-2:]
        self.calls.append(f"{method} {kind} {'probe' if name.startswith(HEALING) else name}")
        if method == "PUT":
            return Reply(404 if kind == "certificate_status" else 200, b"")
        file = self.places[kind] / f"{name}.pem"
        if file.exists():
            return Reply(200, file.read_bytes())
        return Reply(404, f"Could not find {kind} {name}".encode())


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """Return a CA server without anything."""
    return Server(tmp_path / "ca")


def held(name: str) -> bytes:
    """Return a certificate of *name*."""
    ca = FakeCa()
    ca.submit(Certname(name), csr(name))
    return ca.sign(Certname(name)).pem


def csr(name: str = NAME) -> bytes:
    """Return a CSR of a new key."""
    return x509.new_csr(Certname(name), x509.new_key())


def csrs(directory: Path) -> list[str]:
    """Return the names of the files there that the CA takes for CSRs."""
    return sorted(file.name for file in directory.iterdir() if file.suffix == ".pem")


def putting(server: Server, waiting: Path | None = None) -> http_api.HttpApi:
    """Return the CA on *server*, whose directory of CSRs is taken to be *waiting*."""
    own = server.places["certificate"].parent / "own.pem"
    own.write_bytes(held("espm.example.com"))
    return http_api.HttpApi(
        server,  # type: ignore[arg-type]
        signed=Signed(server.places["certificate"]),
        waiting=Waiting(waiting or server.places["certificate_request"]),
        certificate=own,
    )


def test_a_csr_is_put_where_the_ca_keeps_them(server: Server) -> None:
    """One call for each directory proves it; after that nobody is asked."""
    ca, wanted = putting(server), csr()

    ca.submit(NAME, wanted)
    ca.submit(Certname("web2.example.com"), csr("web2.example.com"))

    [file] = server.places["certificate_request"].glob("web1*")
    assert file.read_bytes() == wanted
    assert stat.S_IMODE(file.stat().st_mode) == 0o644, "Puppet Server must be able to read it"
    assert server.calls == ["GET certificate_request probe", "GET certificate probe"]
    assert len(csrs(server.places["certificate_request"])) == 2, "no probe is left"


@pytest.mark.parametrize(
    ("here", "begun"), [(True, ["begin PUT certificate_status"]), (False, [])], ids=["yes", "no"]
)
def test_signing_is_begun_where_no_other_call_comes_before_its_end(
    server: Server, tmp_path: Path, begun: list[str], *, here: bool
) -> None:
    """Elsewhere the CSR is handed in by a call, and each launch would keep two of the threads."""
    ca = putting(server, None if here else tmp_path)

    with ca.about_to_sign(NAME):
        calls = [call for call in server.calls if "probe" not in call]

    assert calls == begun
    assert all(each.left for each in server.begun)


def test_a_csr_that_waits_is_not_replaced(server: Server) -> None:
    """Whoever came first keeps the name, also where the CA would let the second have it."""
    first = csr()
    file = server.places["certificate_request"] / f"{NAME}.pem"
    file.write_bytes(first)

    with pytest.raises(CsrPending):
        putting(server).submit(NAME, csr())

    assert file.read_bytes() == first


def signing(server: Server, monkeypatch: pytest.MonkeyPatch, *, ours: bool) -> None:
    """Let a certificate appear once a CSR is put there; the CSR stays for a moment."""
    put = Waiting.put

    def and_sign(self: Waiting, certname: Certname, pem: bytes) -> bool:
        done = put(self, certname, pem)
        if certname == NAME:
            ca = FakeCa()
            ca.submit(NAME, pem if ours else csr())
            (server.places["certificate"] / f"{NAME}.pem").write_bytes(ca.sign(NAME).pem)
        return done

    monkeypatch.setattr(Waiting, "put", and_sign)


def test_a_name_with_a_certificate_is_taken(server: Server) -> None:
    """Nothing is put there, so nothing can be signed."""
    (server.places["certificate"] / f"{NAME}.pem").write_bytes(held(NAME))

    with pytest.raises(CertnameTaken):
        putting(server).submit(NAME, csr())

    assert csrs(server.places["certificate_request"]) == []


def test_a_certificate_of_somebody_else_that_came_between_is_told(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our CSR is taken back; what the CA may have made of it meanwhile is looked for."""
    ca = putting(server)
    signing(server, monkeypatch, ours=False)

    with pytest.raises(BackendUnavailable, match="just now"):
        ca.submit(NAME, csr())

    assert csrs(server.places["certificate_request"]) == []


def test_a_csr_that_somebody_has_signed_is_no_conflict(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate is ours and must not be forgotten, also while the CSR is still there."""
    ca, wanted = putting(server), csr()
    signing(server, monkeypatch, ours=True)

    ca.submit(NAME, wanted)

    assert (server.places["certificate_request"] / f"{NAME}.pem").read_bytes() == wanted


def test_what_cannot_be_taken_back_is_an_error_of_the_ca(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No bare OSError leaves the adapter."""
    ca = putting(server)
    assert ca.puts()
    signing(server, monkeypatch, ours=False)

    def fails(*_: object) -> bool:
        raise PermissionError(errno.EACCES, "closed")

    monkeypatch.setattr(Waiting, "take_back", fails)

    with pytest.raises(BackendUnavailable, match="can't be written"):
        ca.submit(NAME, csr())


def test_a_csr_that_the_ca_does_not_see_is_taken_back(server: Server, tmp_path: Path) -> None:
    """The address of the CA may lead to another host by now; the next one is handed in there."""
    ca, place = putting(server), server.places["certificate_request"]
    assert ca.puts()
    server.places["certificate_request"] = tmp_path / "elsewhere"

    ca.submit(NAME, ours := csr())
    assert csrs(place) == [f"{NAME}.pem"]
    with pytest.raises(CsrUnknown):
        ca.sign(NAME, ours)
    ca.submit(NAME, csr())

    assert csrs(place) == []
    assert server.calls[-1] == f"PUT certificate_request {NAME}"


def test_a_csr_that_was_written_over_ours_is_not_signed(server: Server) -> None:
    """Puppet Server looks whether one waits, and writes later; ours may have come in between."""
    ca, ours, theirs = putting(server), csr(), csr()
    ca.submit(NAME, ours)
    file = server.places["certificate_request"] / f"{NAME}.pem"
    file.write_bytes(theirs)

    with pytest.raises(CsrPending):
        ca.sign(NAME, ours)

    assert file.read_bytes() == theirs, "it is not ours to take away"
    assert not [call for call in server.calls if call == f"PUT certificate_status {NAME}"]


def test_a_csr_of_an_agent_is_signed_whatever_was_put_there_before(server: Server) -> None:
    """A launch was given up half-way; the agent's CSR is the one that the platform named since."""
    ca = putting(server)
    ca.submit(NAME, csr())
    file = server.places["certificate_request"] / f"{NAME}.pem"
    file.write_bytes(csr())

    with pytest.raises(BackendRefused):
        ca.sign(NAME)

    assert f"PUT certificate_status {NAME}" in server.calls


def test_a_csr_that_is_gone_is_the_cas_to_tell(server: Server) -> None:
    """Somebody may have signed it by now; what is signed is looked at anyhow."""
    ca, ours = putting(server), csr()
    ca.submit(NAME, ours)
    (server.places["certificate_request"] / f"{NAME}.pem").unlink()

    with pytest.raises(CsrUnknown):
        ca.sign(NAME, ours)

    assert f"PUT certificate_status {NAME}" in server.calls


def test_a_csr_beside_a_certificate_can_be_withdrawn(server: Server) -> None:
    """Whoever was killed before it was taken back leaves such a one."""
    file = server.places["certificate_request"] / f"{NAME}.pem"
    file.write_bytes(csr())
    (server.places["certificate"] / f"{NAME}.pem").write_bytes(held(NAME))

    with pytest.raises(CertnameTaken):
        putting(server).withdraw(NAME)

    assert not file.exists()
    assert (server.places["certificate"] / f"{NAME}.pem").exists()


def test_a_csr_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Puppet Server can't list its CSRs where a power failure left one empty."""
    done: list[str] = []
    for name in ("fsync", "link"):
        real = getattr(os, name)

        def noting(*args: object, _name: str = name, _real: Any = real, **more: object) -> None:
            done.append(_name)
            _real(*args, **more)

        monkeypatch.setattr(os, name, noting)

    Waiting(tmp_path).put(NAME, csr())

    assert done == ["fsync", "link"]


def test_another_directory_is_not_believed(server: Server, tmp_path: Path) -> None:
    """The CSR is handed in by a call then, and so are all that follow for a while."""
    (tmp_path / "other").mkdir()
    ca = putting(server, tmp_path / "other")

    ca.submit(NAME, csr())
    ca.submit(NAME, csr())

    handed_in = f"PUT certificate_request {NAME}"
    assert server.calls == ["GET certificate_request probe", handed_in, handed_in]
    assert [*(tmp_path / "other").iterdir()] == [], "not even what is no CSR"
    assert not ca.puts()


@pytest.mark.parametrize("step", ["write", "fsync", "link"])
@pytest.mark.parametrize("error", [errno.EOPNOTSUPP, errno.ENOSPC, errno.EACCES])
def test_where_it_cannot_be_put_it_is_handed_in_by_a_call(
    server: Server, monkeypatch: pytest.MonkeyPatch, error: int, step: str
) -> None:
    """A file system that can't, one that is full, and one whose rights were taken."""
    ca = putting(server)
    assert ca.puts()

    def fails(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, step, fails)
    ca.submit(NAME, csr())

    assert server.calls[-1] == f"PUT certificate_request {NAME}"
    assert csrs(server.places["certificate_request"]) == []


def test_a_directory_is_tried_again_after_a_while(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not the CA's may be by then, once its mount is back."""
    place = tmp_path / "mount"
    place.mkdir()
    ca = putting(server, place)
    ca.submit(NAME, csr())
    place.rmdir()
    place.symlink_to(server.places["certificate_request"])
    monkeypatch.setattr(directories, "_FAILED", 0.0)

    ca.submit(NAME, csr())

    assert (server.places["certificate_request"] / f"{NAME}.pem").exists()


def test_only_ours_is_taken_back(tmp_path: Path) -> None:
    """Another's of that name stays, and one that is gone was not there."""
    waiting, ours, theirs = Waiting(tmp_path), csr(), csr()

    waiting.take_back(NAME, ours)
    assert waiting.put(NAME, theirs)
    waiting.take_back(NAME, ours)
    assert waiting.has(NAME, theirs)
    waiting.take_back(NAME, theirs)
    assert csrs(tmp_path) == []


def test_what_the_directory_is_tried_with_can_be_signed_by_nobody() -> None:
    """It is of the name, can be read, and its signature is wrong."""
    probe = x509.unsignable_csr("espm-heal-1")

    assert x509.csr_key_sha256(probe)
    with pytest.raises(InvalidCsr, match="signature"):
        x509.check_csr(probe, "espm-heal-1", ())
