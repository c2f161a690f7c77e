"""The example knows every key, with its default and its meaning, and loads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from espm import config
from espm.config import spec as configspec
from tests.configsamples import Sample

EXAMPLE = Path(__file__).parents[2] / "etc" / "espm.ini.example"

SPEC = configspec.specification(configspec.backend_names())
KEYS = list(configspec.keys(SPEC))


def section_of(text: str, header: str) -> str:
    """Return what stands under the line *header*, up to the next section."""
    _, _, rest = text.partition(f"\n{header}\n")
    return re.split(r"\n\[", rest)[0]


def header(key: configspec.Key) -> str:
    """Return the line that begins the section of *key* in the example."""
    return "[[cloud]]" if key.section[0] == "platforms" else f"[{key.section[0]}]"


@pytest.mark.parametrize("key", KEYS, ids=lambda key: ".".join((*key.section, key.name)))
def test_the_example_has_the_key(key: configspec.Key) -> None:
    """Each key is there with its meaning; one that may be left out is commented and shows why."""
    section = section_of(EXAMPLE.read_text(), header(key))
    comment, _, line = section.partition(f"{key.name} = ")

    if key.default is not None and not (key.section == ("puppet",) and key.name in config.NEEDED):
        assert f"\n#{key.name} = {key.default}\n" in f"\n{section}\n"
    assert line
    assert key.meaning in " ".join(comment.replace("\n# ", " ").split())


def test_the_example_has_no_other_keys() -> None:
    """Nothing in the example is unknown to espm."""
    shown = re.findall(r"^#?([a-z_0-9]+) = ", EXAMPLE.read_text(), re.MULTILINE)

    assert sorted(shown) == sorted(key.name for key in KEYS)


@pytest.mark.parametrize("everything", [False, True])
def test_the_example_loads(tmp_path: Path, *, everything: bool) -> None:
    """Only the paths have to fit, both as it is and with every default written out."""
    sample = Sample.make(tmp_path)
    text = EXAMPLE.read_text()
    for name, ours in (("puppet-ca", "ca"), ("espm", "server"), ("puppet", "puppet")):
        text = text.replace(f"/opt/espm/etc/certs/{name}.", f"{tmp_path / ours}.")
    if everything:
        text = re.sub(r"^#([a-z_0-9]+ = )", r"\1", text, flags=re.MULTILINE)
    path = sample.write()
    path.write_text(text)

    loaded = config.load(path)

    assert loaded.platforms[0].limits == type(loaded.platforms[0].limits)()
    assert loaded.server.port == 8443


def test_every_key_has_a_meaning() -> None:
    """A key without a comment in its specification would be a riddle to the administrator."""
    assert [key.name for key in KEYS if not key.meaning.endswith(".")] == []
