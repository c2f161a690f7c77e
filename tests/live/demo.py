"""The life of a node, told step by step: what `make demo` runs.

Everything is real: a Puppet Server, `espm_setup --apply`, espm, curl, `puppet agent`. Each step is
checked, and of the run nothing stays: neither a process nor a file. `tests/live/test_life.py` tests
the same.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.live import lab as labs
from tests.live import scene
from tests.live.lab import Lab
from tests.live.lab_admin import LabFailed
from tests.live.narrator import DemoFailed, Narrator
from tests.live.stack import StackFailed
from tests.live.story import Story
from tests.live.tidy import Interrupted, tidied

if TYPE_CHECKING:
    from pathlib import Path


def play(narrator: Narrator) -> None:
    """Play the whole demonstration; nothing stays of it.

    :raises DemoFailed: a step did not do what it should.
    """
    if why := labs.missing():
        raise DemoFailed(why)
    with tidied(), scene.scratch("demo") as root:
        narrator.step(
            "A private Puppet Server, on a free port, with all its files in one directory"
        )
        narrator.output(str(root))
        lab = Lab(root / "lab")
        with narrator.waiting("a new certificate authority"):
            lab.configure()
        with narrator.waiting("Puppet Server starts"):
            lab.start()
        _with_lab(narrator, root, lab)
    narrator.check(not root.exists(), "all processes have ended, all files of this run are removed")


def _with_lab(narrator: Narrator, root: Path, lab: Lab) -> None:
    story = Story(narrator, root, lab)
    try:
        story.play()
    finally:
        narrator.say("Everything is being stopped and removed.")
        story.stack.end()
        lab.stop()


def main() -> int:
    """Play it and return the exit code."""
    narrator = Narrator()
    try:
        play(narrator)
    except Interrupted as exc:
        narrator.failed("demo: interrupted; everything is stopped and removed")
        return 128 + int(exc.args[0])
    except (DemoFailed, LabFailed, StackFailed, OSError, subprocess.SubprocessError) as exc:
        message, _, details = str(exc).partition("\n")
        narrator.output(details)
        narrator.failed(f"demo: failed: {message}")
        return 1
    narrator.say("")
    narrator.say("In the checkout .venv and espm.egg-info stay; `make clean` removes them.")
    narrator.say(f"That was the whole life of a node, in {narrator.seconds:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
