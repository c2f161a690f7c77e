"""The documentation knows every key of the configuration, with its default and its meaning."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from espm import check
from espm.config import spec as configspec

DOCUMENT = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()

KEYS = list(configspec.keys(configspec.specification(configspec.backend_names())))


def table(section: tuple[str, ...]) -> str:
    """Return what the document says of a section."""
    title = " ".join(["[platforms]", "[[NAME]]"] if len(section) == 2 else [f"[{section[0]}]"])
    _, _, rest = DOCUMENT.partition(f"\n## `{title}`\n")
    return rest.partition("\n## ")[0]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: ".".join((*key.section, key.name)))
def test_the_documentation_has_the_key(key: configspec.Key) -> None:
    """The table of the key's section has its default and its meaning, word for word."""
    default = "required" if key.default is None else f"`{key.default}`"

    assert f"| `{key.name}` | {default} | {key.meaning} |" in table(key.section).splitlines()


def test_the_documentation_has_no_other_keys() -> None:
    """Nothing in the tables is unknown to espm."""
    shown = re.findall(r"^\| `([a-z_0-9]+)` \| .* \| .* \|$", DOCUMENT, re.MULTILINE)

    assert sorted(shown) == sorted(key.name for key in KEYS)


def test_every_backend_has_its_part() -> None:
    """Also one without keys of its own is named."""
    for _, name in configspec.backend_names():
        assert f"\n## `[{name}]`\n" in DOCUMENT


def test_the_exit_codes_of_the_check_are_documented() -> None:
    """The table in the document is the one in the module."""
    rows = re.findall(r"^(\d+)  +(.*)$", check.__doc__ or "", re.MULTILINE)

    assert len(rows) == 3
    assert all(f"| {code} | {text} |" in DOCUMENT for code, text in rows)
