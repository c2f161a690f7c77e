"""The edits of espm.ini: every byte stays but those of the lines in question."""

from __future__ import annotations

from difflib import ndiff
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espm import config
from espm_setup import ini
from espm_setup.errors import InTheWay, SetupError
from tests.configsamples import DIGEST, OTHER_DIGEST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from espm.model import Platform

INI = Path("/etc/espm.ini")
EXAMPLE = (Path(__file__).parents[2] / "etc/espm.ini.example").read_bytes()
NEW = "a" * 64
END = "2026-11-26T20:00:00Z"

FILE = f"""\
# mine
[server]   # where
    certificate = /a
private_key=/b
[platforms]
  # the cloud
  [[cloud]]   # ours
  "psk_sha256" =   {DIGEST}\t # made by Jo
    groups = ,
[[other]]
psk_sha256 = {OTHER_DIGEST},
# The rest is Puppet's
[puppet]
url = https://p.example.com
certificate = /c
private_key = /d
ca_file = /e
""".encode()


def rotated(content: bytes, until: str | None = END, name: str = "cloud") -> bytes:
    """Return *content* with the new key for a platform."""
    return ini.rotated(content, INI, name, NEW, until)


def added(content: bytes, keys: Mapping[str, Sequence[str]] | None = None) -> bytes:
    """Return *content* with another platform."""
    return ini.added(content, INI, "more", {"psk_sha256": [NEW], **(keys or {})})


def changes(old: bytes, new: bytes) -> list[str]:
    """Return the lines that went and came."""
    lines = ndiff(old.decode().split("\n"), new.decode().split("\n"))
    return [line for line in lines if line[0] in "+-"]


def platform(content: bytes, name: str = "cloud") -> Platform:
    """Return what espm makes of a platform's section."""
    return {each.name: each for each in config.platforms_in(content, INI)}[name]


def test_the_new_key_comes_before_the_old_one_which_gets_an_end() -> None:
    """Blanks, quotes and the comment of the line stay; the end goes below it."""
    assert changes(FILE, rotated(FILE)) == [
        f'-   "psk_sha256" =   {DIGEST}\t # made by Jo',
        f'+   "psk_sha256" =   {NEW}, {DIGEST}\t # made by Jo',
        f"+   old_psk_until = {END}",
    ]


def test_without_grace_the_old_key_goes_at_once() -> None:
    """And with it the end of an even older one."""
    content = rotated(FILE, None)

    assert changes(FILE, content) == [
        f'-   "psk_sha256" =   {DIGEST}\t # made by Jo',
        f'+   "psk_sha256" =   {NEW}\t # made by Jo',
    ]
    assert rotated(rotated(FILE), None) == content


def test_a_second_rotation_keeps_the_newest_two() -> None:
    """The end is the one of the second."""
    later = "2026-11-27T20:00:00Z"
    content = ini.rotated(rotated(FILE), INI, "cloud", "b" * 64, later)

    assert platform(content).psk_sha256 == ("b" * 64, NEW)
    assert changes(rotated(FILE), content)[-1] == f"+   old_psk_until = {later}"


@pytest.mark.parametrize("until", [None, "2026-11-27T20:00:00Z"])
def test_the_end_may_stand_above_the_key(until: str | None) -> None:
    """The order of the lines is the administrator's."""
    lines = rotated(FILE).split(b"\n")
    lines[7:9] = lines[8], lines[7]
    content = ini.rotated(b"\n".join(lines), INI, "cloud", "b" * 64, until)
    digests = ("b" * 64, NEW)[: 2 if until else 1]

    assert platform(content).psk_sha256 == digests
    assert content.count(b"old_psk_until") == bool(until)


def test_which_of_two_keys_is_the_old_one_is_not_guessed() -> None:
    """Files from before there was an end may have them in either order."""
    two = FILE.replace(DIGEST.encode(), f"{DIGEST}, {'c' * 64}".encode())
    with pytest.raises(SetupError, match=r"two keys and no old_psk_until.*--grace 0"):
        rotated(two)

    assert platform(rotated(two, None)).psk_sha256 == (NEW,)


def test_who_is_not_there_gets_no_key() -> None:
    """The message has the names that there are."""
    with pytest.raises(SetupError, match="no platform nope; it has: cloud, other"):
        rotated(FILE, name="nope")


def test_a_platform_goes_behind_the_last_one() -> None:
    """Indented as that is; the comment above the next section stays there."""
    before, after = FILE.split(b"# The rest")
    section = f"\n[[more]]\npsk_sha256 = {NEW},\nclasses = ,\n\n".encode()

    assert added(FILE, {"classes": []}) == before + section + b"# The rest" + after


def test_comments_of_the_last_platform_stay_with_it() -> None:
    """The example's limits that are commented out are not taken for those of the new one."""
    new = added(EXAMPLE).decode()

    assert "#extensions = ,\n\n[[more]]\n" in new
    assert len(changes(EXAMPLE, new.encode())) == 3
    assert platform(new.encode()) == platform(EXAMPLE)


def test_a_section_is_indented_as_the_last_one() -> None:
    """Header and keys have the blanks that those of the last platform have."""
    content = FILE.replace(b"[[other]]\npsk", b"  [[other]]\n\t\tpsk")

    assert f"\n  [[more]]\n\t\tpsk_sha256 = {NEW},\n".encode() in added(content)


@pytest.mark.parametrize(
    "content",
    [
        FILE.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + FILE,
        FILE.rstrip(b"\n"),
        EXAMPLE,
        b"[platforms]"
        + FILE.split(b"[platforms]")[1]
        + b"[server]\ncertificate=/a\nprivate_key=/b",
        FILE.replace(b"[puppet]", b"[[last]]\npsk_sha256 = " + b"d" * 64 + b"\n[puppet]"),
        FILE.replace(DIGEST.encode(), b'"' + DIGEST.encode() + b'"'),
        FILE.replace(DIGEST.encode(), b"'''" + DIGEST.encode() + b"'''"),
    ],
    ids=[
        "windows",
        "mark",
        "no line end",
        "example",
        "first",
        "comment between",
        "quotes",
        "triple",
    ],
)
def test_however_it_is_written_only_what_is_new_differs(content: bytes) -> None:
    """Every line that there was is there, in its order, with the line ends of the file."""
    windows = b"\r\n" in content
    kept = [line for line in content.split(b"\n") if b"psk_sha256" not in line]
    for new in (rotated(content), added(content)):
        lines = iter(new.split(b"\n"))

        assert all(any(line == each for each in lines) for line in kept)
        assert new.count(b"\r\n") == (new.count(b"\n") if windows else 0)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"networks": ["office"]}, "networks: .office. is not a network"),
        ({"certnames": ["Web-*"]}, "certnames: .*lower case"),
        ({"groups": ["a\nport = 1"]}, "cannot be written into an ini file"),
        ({"groups": ["'\""]}, "cannot be written into an ini file"),
        ({"psk_sha256": [DIGEST]}, "another platform has the same key"),
    ],
)
def test_a_platform_that_would_make_the_file_wrong_is_not_added(
    keys: dict[str, Any], said: str
) -> None:
    """What is wrong is said as espm itself says it."""
    with pytest.raises(SetupError, match=said):
        added(FILE, keys)


def test_a_name_that_is_taken_is_in_the_way() -> None:
    """The key of a platform is never exchanged by adding it."""
    with pytest.raises(InTheWay, match="--rotate-psk more"):
        added(added(FILE))


@pytest.mark.parametrize(
    "content",
    [b"", FILE.split(b"[platforms]")[0], FILE + b"nonsense\n", FILE + b"\xff", b"[a]\n" + FILE],
)
def test_a_file_that_is_wrong_is_not_edited(content: bytes) -> None:
    """Espm could not take it over, and what is wrong in it has to be seen first."""
    for edit in (rotated, added):
        with pytest.raises(SetupError):
            edit(content)


NAMES = st.text("abcdefghijklmnopqrstuvwxyz*?[]!-_.: ,#'\"=%$", max_size=12)


@given(
    groups=st.lists(NAMES, max_size=4),
    classes=st.lists(st.text("abz*:_", min_size=1, max_size=8), max_size=3),
)
def test_what_a_platform_may_do_is_what_was_said_or_nothing_is_changed(
    groups: list[str], classes: list[str]
) -> None:
    """No glob becomes a list of two, a comment, a key or a section."""
    try:
        new = added(FILE, {"groups": groups, "classes": classes})
    except SetupError:
        return
    limits = platform(new, "more").limits

    assert (limits.groups, limits.classes) == (tuple(groups), tuple(classes))
    assert [platform(new, name) for name in ("cloud", "other")] == [
        platform(FILE, name) for name in ("cloud", "other")
    ]
