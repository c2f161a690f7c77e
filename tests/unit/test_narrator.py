"""The demonstration's voice, and how it leaves nothing behind."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.narrator import WIDTH, DemoFailed, Narrator, pretty, shortened

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def stream() -> io.StringIO:
    """What stands for a file that the output goes to."""
    return io.StringIO()


@pytest.fixture
def narrator(stream: io.StringIO) -> Narrator:
    """A narrator that writes to the stream."""
    return Narrator(stream)


def test_a_file_gets_no_colours(narrator: Narrator, stream: io.StringIO) -> None:
    """Escape sequences are for terminals."""
    narrator.step("a step")
    narrator.check(holds=True, fact="a fact")

    assert stream.getvalue() == "\n== 1. a step\n  ok: a fact\n"


def test_nothing_is_wider_than_the_page(narrator: Narrator, stream: io.StringIO) -> None:
    """Long lines are folded, words without a blank too, and nothing of them is lost."""
    words = "word " * 60
    long = "x" * 250
    narrator.output(f"    {words}\n{long}")

    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert "".join("".join(lines).split()) == words.replace(" ", "") + long


def test_noise_is_left_out_and_that_is_said(narrator: Narrator, stream: io.StringIO) -> None:
    """What Facter says of files it may not read is counted, not shown."""
    noise = "Error: Facter: Permission denied @ rb_sysopen - /proc/1/environ"
    narrator.output(f"{noise}\nNotice: applied\n{noise}\n")

    assert stream.getvalue().splitlines() == [
        "  Notice: applied",
        "  (2 lines of Facter on files it may not read left out)",
    ]


def test_a_fact_that_does_not_hold_ends_the_demonstration(narrator: Narrator) -> None:
    """The message is one line: which step, what should be, what is."""
    narrator.step("a step")

    with pytest.raises(DemoFailed) as failed:
        narrator.check(holds=False, fact="the answer's status is 200", instead="503\nno CA")

    assert str(failed.value) == "step 1: not so: the answer's status is 200; instead: 503 no CA"


def test_json_is_shortened_with_a_mark(narrator: Narrator) -> None:
    """Long texts and lists end with what tells that there is more."""
    short = shortened({"key": "k" * 100, "names": list(range(10))})

    assert short == {"key": "k" * 52 + "...", "names": [0, 1, 2, 3, "... 6 more"]}


def test_json_that_fits_is_on_one_line() -> None:
    """Only what does not fit takes more lines than one."""
    assert pretty({"a": {"b": [1, 2]}}) == '{"a": {"b": [1, 2]}}'
    assert pretty({"a": "x" * 90, "b": []}).splitlines() == [
        "{",
        f'  "a": "{"x" * 90}",',
        '  "b": []',
        "}",
    ]


PLAY = """
import os, subprocess
from tests.live.tidy import Interrupted, tidied
try:
    with tidied():
        subprocess.run(["sh", "-c", "setsid sleep 300 & setsid sleep 300 & echo $!"], check=True)
        os.write(1, b"ready\\n")
        subprocess.run(["sleep", "300"], check=True)
except Interrupted as exc:
    raise SystemExit(128 + exc.args[0])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_program_leaves_no_process(number: int) -> None:
    """Processes in sessions of their own, whose parents are gone, end with us."""
    with subprocess.Popen(
        [sys.executable, "-c", PLAY], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        orphan = Path("/proc") / program.stdout.readline().strip()
        assert program.stdout.readline() == "ready\n"
        assert orphan.exists()
        program.send_signal(number)

        assert program.wait(timeout=30) == 128 + number
        assert not orphan.exists()
