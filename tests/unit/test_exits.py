"""Exit codes: one for each kind of error, as the help says."""

from __future__ import annotations

import re

import pytest

from espm import __main__ as command
from espm import errors
from espm.exits import Exit, code


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.ConfigError(["x"]), 78),
        (errors.GroupsError(["x"]), 78),
        (errors.MigrationNeeded("x"), 78),
        (errors.LedgerLocked("x"), 75),
        (errors.BackendUnavailable("x"), 69),
        (errors.BackendRefused("x"), 69),
        (errors.RevocationUnproven("x"), 69),
        (errors.NodeUnknown("x"), 1),
    ],
)
def test_an_error_has_its_code(error: errors.EspmError, expected: int) -> None:
    """The nearest kind that has one decides; everything else is a plain failure."""
    assert code(error) == expected


def test_the_help_lists_the_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """Each code that ``espm`` ends with is explained by its help."""
    with pytest.raises(SystemExit) as ended:
        command.main(["--help"])
    listed = re.findall(r"^ +(\d+)  \S", capsys.readouterr().out, re.MULTILINE)

    assert ended.value.code == 0
    assert sorted(map(int, listed)) == sorted(Exit)


@pytest.mark.parametrize(
    "arguments",
    [[], ["check"], ["backup"], ["enc"], ["audit"], ["nonsense"], ["-c"], ["--nonsense"]],
)
def test_a_wrong_command_line_is_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said on standard error, with how to do it."""
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    said = capsys.readouterr()

    assert ended.value.code == 2
    assert said.out == ""
    assert said.err.startswith("usage: espm")
