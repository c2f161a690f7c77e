"""Other programs are kept on a short leash."""

from __future__ import annotations

import errno
import sys
import threading
import time
from pathlib import Path

import pytest

from espm import command
from espm.errors import BackendSilent, BackendUnavailable

SH = "/bin/sh"


def test_a_program_tells_status_and_both_outputs() -> None:
    """An exit status other than 0 is an answer, not an error."""
    output = command.run([SH, "-c", "echo out; echo err >&2; exit 24"], timeout=10)

    assert command.Output(24, b"out\n", b"err\n") == output


def test_a_program_reads_what_it_is_given() -> None:
    """More than a pipe holds."""
    content = b"x" * 300_000
    output = command.run(["/usr/bin/wc", "-c"], timeout=10, stdin=content)

    assert output.stdout.split() == [b"300000"]


def test_a_program_without_input_reads_nothing() -> None:
    """It can't take the daemon's own input."""
    assert command.run(["/bin/cat"], timeout=10).stdout == b""


def test_nothing_of_our_environment_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Ruby or systemd would obey stays here; what the caller adds is there."""
    for name in ("RUBYLIB", "GEM_PATH", "LISTEN_FDS", "NOTIFY_SOCKET", "LD_PRELOAD"):
        monkeypatch.setenv(name, "")
    output = command.run(["/usr/bin/env"], timeout=10, env={"EXTRA": "1"})
    names = {line.split(b"=")[0] for line in output.stdout.splitlines()}

    assert {b"LC_ALL", b"PATH", b"HOME", b"EXTRA"} == names


def test_a_program_has_a_home_of_its_own_that_goes() -> None:
    """It is empty, private and away afterwards; the working directory is the root."""
    script = 'echo "$HOME"; ls -A "$HOME"; stat -c %a "$HOME"; pwd'
    home, mode, where = command.run([SH, "-c", script], timeout=10).stdout.decode().splitlines()

    assert (mode, where) == ("700", "/")
    assert not Path(home).exists()


@pytest.mark.timing
def test_a_program_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """The deadline holds, and so does the grace that follows."""
    start = time.monotonic()
    with pytest.raises(BackendUnavailable, match="in time"):
        command.run([SH, "-c", "trap '' TERM; while :; do sleep 0.1; done"], timeout=0.3)

    assert time.monotonic() - start < 0.3 + command.GRACE + 1


@pytest.mark.timing
def test_a_late_program_may_clean_up_after_itself(tmp_path: Path) -> None:
    """SIGTERM comes before SIGKILL."""
    note = tmp_path / "note"
    script = f"trap 'echo cleaned > {note}; exit 0' TERM; while :; do sleep 0.05; done"
    with pytest.raises(BackendUnavailable):
        command.run([SH, "-c", script], timeout=0.3)

    assert note.read_text() == "cleaned\n"


def test_a_grandchild_that_holds_the_pipe_keeps_nobody_waiting(tmp_path: Path) -> None:
    """When the program ends, its answer is there at once, and the grandchild is killed."""
    start = time.monotonic()
    output = command.run([SH, "-c", "sleep 60 & echo $!"], timeout=20)

    assert time.monotonic() - start < 10
    assert not _alive(int(output.stdout))


@pytest.mark.timing
def test_a_grandchild_of_a_late_program_is_killed(tmp_path: Path) -> None:
    """The whole process group goes, also when its members ignore SIGTERM."""
    note = tmp_path / "pid"
    script = f"trap '' TERM; sleep 60 & echo $! > {note}; wait; sleep 60"
    with pytest.raises(BackendUnavailable):
        command.run([SH, "-c", script], timeout=0.5)

    assert not _alive(int(note.read_text()))


def test_a_grandchild_in_a_session_of_its_own_keeps_nobody_waiting() -> None:
    """We cannot kill it, but we do not wait for its end of the pipe."""
    start = time.monotonic()
    output = command.run([SH, "-c", "setsid sleep 5 & echo done"], timeout=20)

    assert output.stdout == b"done\n"
    assert time.monotonic() - start < 4


def test_a_program_that_prints_for_ever_is_stopped() -> None:
    """It ends with the deadline, and its output does not fill our memory."""
    with pytest.raises(BackendUnavailable, match="in time"):
        command.run(["/usr/bin/yes"], timeout=0.3)


def test_long_output_is_cut() -> None:
    """Its beginning is kept."""
    script = f"import sys; sys.stdout.write('a' * {command.LONGEST + 100_000})"
    output = command.run([sys.executable, "-c", script], timeout=20)

    assert (output.status, len(output.stdout)) == (0, command.LONGEST)


def test_a_program_that_closes_its_outputs_is_waited_for() -> None:
    """Closed pipes are not the end of it."""
    output = command.run([SH, "-c", "exec >&- 2>&-; sleep 0.2; exit 3"], timeout=10)

    assert output.status == 3


@pytest.mark.parametrize("program", ["/nonexistent/program", "/etc/passwd"])
def test_a_program_that_cannot_be_started_is_named_only_in_the_cause(program: str) -> None:
    """The message goes to callers, who must not learn paths."""
    with pytest.raises(BackendUnavailable) as caught:
        command.run([program, "x"], timeout=1)

    assert program not in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)


def test_a_relative_path_is_refused() -> None:
    """What PATH would find is not what the administrator wrote."""
    with pytest.raises(ValueError, match="absolute"):
        command.run(["ls"], timeout=1)


def test_nothing_is_left_open() -> None:
    """Descriptors are not leaked, run after run."""
    before = _open_descriptors()
    for _ in range(5):
        command.run(["/bin/true"], timeout=10, stdin=b"x")

    assert before == _open_descriptors()


def _open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _alive(pid: int) -> bool:
    """Return whether a process runs; one that was killed may wait for its new parent a moment."""
    status = Path(f"/proc/{pid}/status")
    for _ in range(50):
        if not status.exists() or "\nState:\tZ" in status.read_text():
            return False
        time.sleep(0.02)
    return True


def _not_ours(*_: object) -> None:
    raise PermissionError


def test_what_sudo_runs_is_roots_and_ends_like_anything_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may not be signalled, not even when it has ended; that is no error."""
    monkeypatch.setattr("os.killpg", _not_ours)

    assert command.run([SH, "-c", "echo out; exit 3"], timeout=10) == command.Output(
        3, b"out\n", b""
    )


@pytest.mark.timing
def test_what_sudo_runs_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is late and can't be killed, it is left to its own limit and waited for later."""
    monkeypatch.setattr("os.killpg", _not_ours)
    start = time.monotonic()
    with pytest.raises(BackendSilent, match="in time"):
        command.run([SH, "-c", "exec sleep 4"], timeout=0.3)

    assert time.monotonic() - start < 3
    burying = [each for each in threading.enumerate() if each.name == "espm buries"]
    for thread in burying:
        thread.join(10)
    assert [thread.is_alive() for thread in burying] == [False]


def test_without_room_for_a_home_the_program_is_not_available(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A full disk is no error of espm's."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))

    with pytest.raises(BackendUnavailable, match="no place"):
        command.run(["/bin/true"], timeout=10)


def test_what_a_program_leaves_behind_does_not_undo_what_it_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody may write into its home while that is removed."""
    monkeypatch.setattr("os.rmdir", _busy)

    assert command.run(["/bin/true"], timeout=10).status == 0


def _busy(*_: object, **__: object) -> None:
    raise OSError(errno.ENOTEMPTY, "Directory not empty")
