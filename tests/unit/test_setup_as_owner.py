"""What root does for another user is done as that user: no symbolic link leads it elsewhere."""

from __future__ import annotations

import os
import pwd
import signal
import stat
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread, get_ident
from typing import TYPE_CHECKING

import pytest

from espm.errors import BackendUnavailable, ConfigError
from espm_setup import as_owner, install
from espm_setup.__main__ import main
from espm_setup.errors import NotPermitted, SetupError
from espm_setup.files import Owner, owner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from espm.model import Json

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root works as another user")

LEDGER = ("ledger.db", "ledger.db.lock")


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a directory that everybody can reach, unlike pytest's own."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def nobody() -> Owner:
    """Return another user than root."""
    return owner("nobody")


def set_up(place: Path, *words: str) -> int:
    """Run espm_setup as root for nobody, on a machine without Puppet."""
    etc = place / "etc"
    return main(["-d", str(etc), "-c", f"{etc}/certs", "--puppet", "/none", *words])


def first_run(place: Path, *words: str) -> int:
    """Run it the first time."""
    return set_up(place, "--create", "--user", "nobody", *words)


def rights(path: Path) -> tuple[str, str]:
    """Return user and mode of *path*, of a link itself."""
    status = path.lstat()
    return pwd.getpwuid(status.st_uid).pw_name, oct(stat.S_IMODE(status.st_mode))


def planted(link: Path, target: Path) -> Path:
    """Return a file of root's that *link* of nobody's points to."""
    target.write_text("secret")
    target.chmod(0o600)
    link.symlink_to(target)
    os.lchown(link, owner("nobody").uid, owner("nobody").gid)
    return target


def var_of_nobody(place: Path) -> Path:
    """Return a directory for the ledger that nobody has made already."""
    var = place / "var"
    var.mkdir(mode=0o700)
    os.chown(var, owner("nobody").uid, owner("nobody").gid)
    return var


def test_root_gives_the_secrets_to_the_group_of_espms_user(place: Path) -> None:
    """root:group 0640, so that espm can read them and not change them."""
    assert first_run(place) == 0
    for name in ("espm.ini", "certs/espm.key", "certs/puppet.key"):
        assert rights(place / "etc" / name) == ("root", "0o640")
        assert (place / "etc" / name).stat().st_gid == owner("nobody").gid


def test_a_place_where_espms_user_cannot_come_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """espm could not work there, which is found out now, and nothing is left behind."""
    place.chmod(0o700)

    assert first_run(place) == 77
    assert "espm's user must be able to come there" in capsys.readouterr().err
    assert list(place.iterdir()) == []


def test_the_ledger_is_its_users_own(place: Path) -> None:
    """Database and lock are made as the user, for nobody else."""
    assert first_run(place) == 0
    assert {rights(place / "var" / name) for name in LEDGER} == {("nobody", "0o600")}


@pytest.mark.parametrize("name", ["ledger.db-x", "ledger.db-wal.old"])
def test_the_first_run_gives_nothing_away(name: str, place: Path) -> None:
    """A link beside the database leads to a file that stays root's."""
    target = planted(var_of_nobody(place) / name, place / "shadow")

    assert first_run(place) == 0
    assert (rights(target), target.read_text()) == (("root", "0o600"), "secret")


@pytest.mark.parametrize("name", ["ledger.db-x", "ledger.db.lock"])
def test_an_upgrade_gives_nothing_away(name: str, place: Path) -> None:
    """What espm's user planted meanwhile is not touched, and no file there becomes root's."""
    assert first_run(place) == 0
    (place / "var" / name).unlink(missing_ok=True)
    target = planted(place / "var" / name, place / "shadow")
    set_up(place, "--upgrade")

    assert (rights(target), target.read_text()) == (("root", "0o600"), "secret")
    assert {rights(path)[0] for path in (place / "var").iterdir()} == {"nobody"}


def test_the_backup_is_its_users_own(place: Path) -> None:
    """--upgrade leaves a copy that nobody else can read."""
    assert first_run(place) == 0
    assert set_up(place, "--upgrade") == 0
    (copy,) = (place / "var").glob("ledger.db.backup-*")
    assert rights(copy) == ("nobody", "0o600")


def test_undoing_removes_only_what_was_made(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of an earlier ledger stay, and links with what they point to."""
    var = var_of_nobody(place)
    target = planted(var / "ledger.db-x", place / "shadow")
    (var / "ledger.db.backup-1").write_text("older")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(install, "fetch", fail)

    assert first_run(place) == 1
    assert {path.name for path in var.iterdir()} == {"ledger.db-x", "ledger.db.backup-1"}
    assert target.read_text() == "secret"
    assert not (place / "etc").exists()


def test_root_does_not_upgrade_the_ledger_of_who_knows_whom(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A link in place of the ledger's directory makes nobody root."""
    assert first_run(place) == 0
    (place / "var").rename(place / "moved")
    (place / "root").mkdir(mode=0o700)
    (place / "var").symlink_to(place / "root")

    assert set_up(place, "--upgrade") == 1
    assert "name the user with --user" in capsys.readouterr().err
    assert list((place / "root").iterdir()) == []


def test_the_enc_directory_is_its_users_own(place: Path) -> None:
    """Directory and marker are the user's, setgid and closed to others."""
    assert first_run(place) == 0
    assert rights(place / "enc") == ("nobody", "0o2750")
    assert rights(place / "enc/.espm-enc") == ("nobody", "0o640")


def test_an_enc_directory_that_is_a_link_is_not_given_away(place: Path) -> None:
    """What it points to stays root's."""
    (place / "other").mkdir(mode=0o755)
    (place / "enc").symlink_to(place / "other")

    assert first_run(place) == 1
    assert rights(place / "other") == ("root", "0o755")


def test_root_reads_no_key_that_another_users_configuration_names(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--fetch-certificate opens files as the user whose configuration it is."""
    assert first_run(place, "--puppet-url", "https://localhost:1") == 0
    ini = place / "etc/espm.ini"
    os.chown(ini, owner("nobody").uid, owner("nobody").gid)
    key, ca_file = place / "etc/certs/puppet.key", place / "etc/certs/puppet-ca.pem"
    ca_file.write_bytes((place / "etc/certs/espm.pem").read_bytes())
    key.chmod(0o600)

    assert set_up(place, "--fetch-certificate") == 77
    assert f"Permission denied: {key}" in capsys.readouterr().err


def test_the_work_is_done_without_any_right_of_root(nobody: Owner) -> None:
    """User, groups and file mode creation mask are those of the user, saved ids included."""

    def work() -> Json:
        return [*os.getresuid(), *os.getresgid(), os.getgroups(), os.umask(0)]

    uid, gid = nobody.uid, nobody.gid
    assert [*[uid] * 3, *[gid] * 3, [7], 0o077] == as_owner.call(nobody, work, groups=(7,))
    assert os.geteuid() == 0


@pytest.mark.parametrize(
    "error",
    [
        ConfigError(["first fault", "second fault"]),
        BackendUnavailable("later"),
        NotPermitted("not you"),
        PermissionError(13, "Permission denied", "/x"),
    ],
)
def test_errors_arrive_as_they_were_raised(error: Exception, nobody: Owner) -> None:
    """Kind and message are the same as without another process."""

    def work() -> Json:
        raise error

    with pytest.raises(type(error)) as caught:
        as_owner.call(nobody, work)

    assert str(error) == str(caught.value)
    assert vars(error) == vars(caught.value)


def test_an_error_that_nobody_expected_is_a_failure_with_its_words(nobody: Owner) -> None:
    """Nothing is taken for done that was not."""
    with pytest.raises(SetupError, match="ZeroDivisionError: integer division"):
        as_owner.call(nobody, lambda: 1 // 0)


def test_a_child_that_is_killed_is_a_failure(nobody: Owner) -> None:
    """Silence is no success."""
    with pytest.raises(SetupError, match="nobody ended without a word"):
        as_owner.call(nobody, lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_a_ledger_that_cannot_be_made_is_reported_as_before(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says what is wrong with the URL, and everything is taken back."""
    url = f"sqlite:///{place}/nowhere/x/ledger.db?mode=ro"

    assert first_run(place, "--ledger", url) == 1
    assert "[ledger] url: " in capsys.readouterr().err
    assert list(place.iterdir()) == []


def test_an_interruption_right_after_the_fork_leaves_no_child_behind(
    nobody: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits until somebody cares for the child."""
    children: list[int] = []
    fork = os.fork

    def interrupted() -> int:
        if child := fork():
            children.append(child)
            signal.raise_signal(signal.SIGINT)
        return child

    def work() -> Json:
        signal.pause()
        return None

    monkeypatch.setattr(os, "fork", interrupted)
    with pytest.raises(KeyboardInterrupt):
        as_owner.call(nobody, work)
    with pytest.raises(ChildProcessError):
        os.waitpid(children[0], os.WNOHANG)


# The thread only reads and sends a signal: it holds nothing that a child could wait for.
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_who_is_interrupted_leaves_no_child_behind(nobody: Owner) -> None:
    """The work is ended before anything is taken back."""
    ours, theirs = os.pipe()
    parent = get_ident()
    children: list[int] = []

    def work() -> Json:
        os.write(theirs, str(os.getpid()).encode())
        signal.pause()
        return None

    def interrupted_when_it_works() -> None:
        children.append(int(os.read(ours, 20)))
        signal.pthread_kill(parent, signal.SIGINT)

    watcher = Thread(target=interrupted_when_it_works)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        as_owner.call(nobody, work)
    watcher.join()
    with pytest.raises(ChildProcessError):
        os.waitpid(children[0], os.WNOHANG)
    os.close(ours)
    os.close(theirs)
