"""--rotate-psk and --add-platform: one key is printed, its digest is kept, nothing else changes."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import stat
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from espm import config
from espm.model import Limits
from espm_setup import changes, files, keys
from espm_setup.__main__ import main
from espm_setup.files import owner
from tests.configsamples import DIGEST, OTHER_DIGEST, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from espm.model import Platform

pytestmark = pytest.mark.slow

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root works for another user")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory with a configuration that is right."""
    Sample.make(tmp_path).write()
    return tmp_path


@pytest.fixture
def shared() -> Iterator[Path]:
    """Return such a directory that everybody can reach, unlike pytest's own."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        etc = Path(name) / "etc"
        etc.mkdir()
        Sample.make(etc).write()
        yield etc


def setup(place: Path, *words: str) -> int:
    """Run espm_setup for the espm in *place*."""
    return main(["-d", str(place), *words])


def platforms(place: Path) -> dict[str, Platform]:
    """Return the platforms, by their names."""
    return {each.name: each for each in config.load_platforms(place / "espm.ini")}


def digest(psk: str) -> str:
    """Return what the configuration has for a key."""
    return sha256(psk.encode()).hexdigest()


def test_a_rotation_prints_a_key_and_lets_the_old_one_end(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is good for 24 hours more, and the command that makes it so is named."""
    began = datetime.now(UTC)
    assert setup(place, "--rotate-psk", "cloud") == 0
    said = capsys.readouterr().out
    psk = said.splitlines()[1]
    found = platforms(place)["cloud"]

    assert re.fullmatch(r"[A-Za-z0-9_-]{48}", psk)
    assert found.psk_sha256 == (digest(psk), DIGEST)
    assert found.old_psk_until
    assert timedelta(hours=24) < found.old_psk_until - began < timedelta(hours=24, seconds=10)
    assert f"until {found.old_psk_until:%Y-%m-%dT%H:%M:%SZ}" in said
    assert "Next: systemctl reload espm" in said.splitlines()
    assert not any(psk.encode() in path.read_bytes() for path in place.iterdir())


@pytest.mark.parametrize(("words", "seconds"), [("90s", 90), ("30m", 1800), ("7d", 604800)])
def test_the_time_of_grace_can_be_chosen(place: Path, words: str, seconds: int) -> None:
    """In seconds, minutes, hours or days."""
    began = datetime.now(UTC)
    setup(place, "--rotate-psk", "cloud", "--grace", words)
    until = platforms(place)["cloud"].old_psk_until

    assert until
    assert 0 <= (until - began).total_seconds() - seconds < 10


@pytest.mark.parametrize("grace", ["0", "0h"])
def test_without_grace_only_the_new_key_stays(
    place: Path, capsys: pytest.CaptureFixture[str], grace: str
) -> None:
    """What is printed for programs says so."""
    setup(place, "--rotate-psk", "cloud", "--grace", grace, "--json")
    said = json.loads(capsys.readouterr().out)

    assert platforms(place)["cloud"].psk_sha256 == (digest(said["preshared_key"]),)
    assert said == {
        "platform": "cloud",
        "preshared_key": said["preshared_key"],
        "old_psk_until": None,
        "config": str(place / "espm.ini"),
        "next": "systemctl reload espm",
    }


def test_a_platform_is_added_with_its_limits(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A lone comma is none, and what is not said has its default."""
    limits = ["--certnames", "*.test.example.com, x-*", "--classes", ",", "--groups", "web,"]
    assert setup(place, "--add-platform", "terraform", *limits, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    found = platforms(place)

    assert found["terraform"].psk_sha256 == (digest(said["preshared_key"]),)
    assert found["terraform"].limits == Limits(
        certnames=("*.test.example.com", "x-*"), classes=(), groups=("web",)
    )
    assert found["cloud"].psk_sha256 == (DIGEST,)


def test_owner_and_mode_stay(place: Path) -> None:
    """The file is as closed as it was."""
    (place / "espm.ini").chmod(0o640)
    setup(place, "--add-platform", "terraform")

    assert stat.S_IMODE((place / "espm.ini").stat().st_mode) == 0o640


def test_a_link_stays_one(place: Path) -> None:
    """The file that it leads to is changed."""
    (place / "espm.ini").rename(place / "real.ini")
    (place / "espm.ini").symlink_to("real.ini")
    setup(place, "--add-platform", "terraform")

    assert (place / "espm.ini").is_symlink()
    assert set(platforms(place)) == {"cloud", "terraform"}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--add-platform", "cloud"], 73, "has a platform cloud already"),
        (["--add-platform", "x", "--networks", "office"], 1, '"office" is not a network'),
        (["--rotate-psk", "nope"], 1, "no platform nope; it has: cloud"),
    ],
)
def test_what_cannot_be_done_changes_nothing_and_prints_no_key(
    place: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    """The message says what is wrong."""
    before = (place / "espm.ini").read_bytes()

    assert setup(place, *words) == code
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""
    assert (place / "espm.ini").read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        *(["--rotate-psk", "Bad!"], ["--grace", "3h"], ["--groups", "a"]),
        *(["--rotate-psk", "cloud", "--grace", each] for each in ("x", "-1h", "1w", "", "1h30m")),
        *(["--add-platform", "x", "--groups", each] for each in ("", "a,,b", ",,")),
        ["--rotate-psk", "cloud", "--groups", "a"],
        ["--rotate-psk", "cloud", "--add-platform", "x"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told_before_anything_is_read(place: Path, words: list[str]) -> None:
    """Also an option that would have no effect."""
    with pytest.raises(SystemExit) as caught:
        setup(place, *words)

    assert caught.value.code == 2


def test_a_file_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So is a directory."""
    assert setup(tmp_path / "nope", "--rotate-psk", "cloud") == 1
    assert capsys.readouterr().err == (
        f"espm_setup: {tmp_path}/nope/espm.ini is not there; name its directory with -d\n"
    )


def test_a_key_that_nobody_could_read_does_not_come_into_force(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is printed first, and if that fails nothing is changed."""
    before = (place / "espm.ini").read_bytes()

    def broken(*_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(keys, "tell", broken)

    assert setup(place, "--rotate-psk", "cloud", "--grace", "0") == 1
    assert (place / "espm.ini").read_bytes() == before


@pytest.mark.parametrize(
    ("exchange", "said"),
    [
        ((b"[[cloud]]", b"[[sky]]"), "no platform cloud"),
        ((b"[puppet]", b"nonsense"), "is wrong"),
    ],
)
def test_who_was_told_a_key_learns_that_it_is_void(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    exchange: tuple[bytes, bytes],
    said: str,
) -> None:
    """What somebody else did between printing and writing stays as they left it."""
    ini = place / "espm.ini"

    def somebody(*_: object) -> None:
        ini.write_bytes(ini.read_bytes().replace(*exchange))

    monkeypatch.setattr(keys, "tell", somebody)

    assert setup(place, "--rotate-psk", "cloud") == 1
    assert re.search(rf"(?s){said}.*forget the key", capsys.readouterr().err)
    assert exchange[1] in ini.read_bytes()


def test_a_full_disk_leaves_the_old_file(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing beside it."""
    before = {path: path.read_bytes() for path in place.iterdir()}

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    assert setup(place, "--rotate-psk", "cloud") == 1
    assert "No space left on device; forget the key" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in place.iterdir()} == before


def test_what_somebody_saves_meanwhile_is_not_lost(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An editor takes no lock, so the file is compared before it is replaced."""
    ini = place / "espm.ini"

    def edit(content: bytes) -> bytes:
        ini.write_bytes(content + b"# saved\n")
        return content + b"# ours\n"

    with pytest.raises(Exception, match="somebody changed"):
        changes.change(ini, edit)

    assert ini.read_bytes().endswith(b"# saved\n")


def test_another_one_who_holds_the_lock_too_long_is_named(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever."""
    monkeypatch.setattr(changes, "PATIENCE", 0.1)
    with (place / "espm.ini").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert setup(place, "--rotate-psk", "cloud") == 1

    assert "holds the lock of" in capsys.readouterr().err


def in_child(work: Callable[[], object]) -> int:
    """Start *work* in a process of its own and return its number."""
    child = os.fork()
    if child:
        return child
    try:
        sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - the process ends
        os._exit(int(bool(work())))
    finally:
        os._exit(70)


def test_two_at_once_lose_nothing(place: Path) -> None:
    """Each waits for the others, whatever they replace meanwhile."""
    names = [f"p{number}" for number in range(12)]
    children = [in_child(lambda n=name: setup(place, "--add-platform", n)) for name in names]  # type: ignore[misc]
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]

    assert codes == [0] * 12
    assert set(platforms(place)) == {"cloud", *names}


def killing(step: int, work: Callable[[], Any]) -> Callable[[], Any]:
    """Return *work*, killed when it comes to its line number *step* in the modules that write."""
    ours = {files.__file__, changes.__file__}
    left = step

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in ours:
            return None
        left -= event == "line"
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    def traced() -> Any:
        sys.settrace(trace)
        return work()

    return traced


def test_killed_anywhere_the_file_is_the_old_or_the_new_one(place: Path) -> None:
    """At each line of what writes; the next run clears away what was left beside it."""
    ini = place / "espm.ini"
    old, there = ini.read_bytes(), {path.name for path in place.iterdir()}
    seen = []
    for step in range(1000):
        child = in_child(killing(step, lambda: setup(place, "--add-platform", "more")))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        seen.append((code, ini.read_bytes() == old))
        assert set(platforms(place)) == ({"cloud"} if seen[-1][1] else {"cloud", "more"})
        if code != -signal.SIGKILL:
            break
        ini.write_bytes(old)

    assert seen[-1] == (0, False)
    assert {(-9, True), (-9, False)} <= set(seen)
    assert {path.name for path in place.iterdir()} == there


def given_away(path: Path) -> None:
    """Give a directory, or a file, to nobody."""
    os.chown(path, owner("nobody").uid, owner("nobody").gid)


@as_root
def test_roots_file_stays_readable_for_espms_group(shared: Path) -> None:
    """root:group 0640, as the first run has made it."""
    os.chown(shared / "espm.ini", 0, owner("nobody").gid)
    (shared / "espm.ini").chmod(0o640)
    assert setup(shared, "--rotate-psk", "cloud") == 0
    status = (shared / "espm.ini").stat()

    assert (status.st_uid, status.st_gid) == (0, owner("nobody").gid)
    assert stat.S_IMODE(status.st_mode) == 0o640


@as_root
def test_in_another_users_directory_that_user_works(shared: Path) -> None:
    """The file is theirs afterwards, as before."""
    for path in (shared, shared / "espm.ini"):
        given_away(path)

    assert setup(shared, "--rotate-psk", "cloud") == 0
    assert (shared / "espm.ini").stat().st_uid == owner("nobody").uid
    assert len(platforms(shared)["cloud"].psk_sha256) == 2


@as_root
def test_root_follows_no_link_of_another_user(shared: Path) -> None:
    """Neither in place of the file nor in that of what is written beside it."""
    secret = shared.parent / "secret.ini"
    (shared / "espm.ini").rename(secret)
    before = secret.read_bytes()
    (shared / "espm.ini").symlink_to(secret)
    given_away(shared)

    assert setup(shared, "--rotate-psk", "cloud") == 77
    assert secret.read_bytes() == before


def test_the_newest_of_two_is_kept(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three rotations leave two keys."""
    made = []
    for _ in range(3):
        setup(place, "--rotate-psk", "cloud", "--json")
        made.append(digest(json.loads(capsys.readouterr().out)["preshared_key"]))

    assert platforms(place)["cloud"].psk_sha256 == (made[2], made[1])


def test_two_keys_of_unknown_age_are_not_mixed_up(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An administrator who changed a key by hand says which one goes."""
    sample = Sample.make(place)
    sample.platform(psk_sha256=f"{DIGEST}, {OTHER_DIGEST}")
    sample.write()

    assert setup(place, "--rotate-psk", "cloud") == 1
    assert "nobody can tell which is the old one" in capsys.readouterr().err
    assert setup(place, "--rotate-psk", "cloud", "--grace", "0") == 0
