"""What is documented is what there is."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from espm_setup import auth_conf
from espm_setup.auth_rules import rules
from espm_setup.errors import InTheWay, NotPermitted, SetupError
from espm_setup.options import EXIT_CODES, parser

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs/setup.md").read_text()


def test_every_option_is_documented_and_no_other() -> None:
    """The table of options has exactly those of the parser."""
    known = {name for action in parser()._actions for name in action.option_strings}
    table = DOCS.partition("## Options")[2].partition("## ")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]

    assert known == set(re.findall(r"`(--?[a-z-]+)", " ".join(cells)))


def test_every_exit_code_is_documented() -> None:
    """Documentation and --help name the codes that the errors have."""
    ended = {str(128 + number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    codes = {"0", "2", *ended, *(str(kind.code) for kind in (SetupError, InTheWay, NotPermitted))}
    table = DOCS.partition("## Exit codes")[2].partition("## ")[0]

    assert codes == set(re.findall(r"(?m)^\| (\d+) \|", table))
    assert codes == set(re.findall(r"(?m)^  (\d+) ", EXIT_CODES))


def test_the_example_has_the_rules_that_apply_makes() -> None:
    """etc/auth.conf.example can be copied from."""
    text = (ROOT / "etc/auth.conf.example").read_text()
    name = "espm.puppet.example.com"
    rights = (auth_conf.STATUS, auth_conf.CLEAN, auth_conf.CLASSES)
    made = auth_conf.applied("authorization.rules: []", name, rights)

    assert rules(made)[1] == rules(text)[1]
