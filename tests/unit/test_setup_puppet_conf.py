"""The edit of puppet.conf and its inverse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espm_setup import puppet_conf
from espm_setup.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable

ENC = ["/usr/bin/espm_enc", "-d", "/opt/espm/enc"]
OTHER = ["/usr/bin/espm_enc", "-d", "/elsewhere", "-f", "/etc/enc"]

LINES = (
    *(
        "[main]",
        "[server]",
        "[master]",
        " [agent] ",
        "[server] # no section",
        "",
        "  ",
        "# comment",
    ),
    *("certname = puppet.example.com", "node_terminus = exec", "  external_nodes=/etc/puppet/enc"),
    *(
        "node_terminus = plain",
        "dns_alt_names = puppet,b",
        "# espm keeps: node_terminus = exec",
        "x\x0by = 1",
        "é = ü",
        "\x85",
    ),
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Return the text of a puppet.conf, sane or not."""
    lines = draw(st.lists(st.sampled_from(LINES), max_size=12))
    breaks = draw(st.sampled_from(["\n", "\r\n"]))
    return breaks.join(lines) + draw(st.sampled_from(["", breaks]))


@given(text=texts())
def test_what_is_applied_can_be_removed_byte_for_byte(text: str) -> None:
    """Removing gives back the file as it was, whatever it looked like."""
    assert text == puppet_conf.removed(puppet_conf.applied(text, ENC))


@given(text=texts())
def test_applying_twice_changes_nothing_more(text: str) -> None:
    """The second application finds its own lines and leaves them."""
    once = puppet_conf.applied(text, ENC)

    assert once == puppet_conf.applied(once, ENC)


@given(text=texts())
def test_other_settings_take_the_place_of_ours(text: str) -> None:
    """An application with another command leaves no trace of the first."""
    assert puppet_conf.applied(text, OTHER) == puppet_conf.applied(
        puppet_conf.applied(text, ENC), OTHER
    )


@given(text=texts())
def test_what_others_add_afterwards_survives_the_removal(text: str) -> None:
    """A line that somebody adds at the end stays, and only ours goes."""
    edited = puppet_conf.applied(text + "\n", ENC) + "\n# added by somebody\n"

    assert text + "\n\n# added by somebody\n" == puppet_conf.removed(edited)


@pytest.mark.parametrize("text", ["", "[main]\n", "[main]\r\n", "[main]\n[server]\n", "[server]"])
def test_what_is_appended_stays_a_line_of_its_own(text: str) -> None:
    """As by ``printf ... >>``, with a line break first where the file had none at its end."""
    begins = "" if text.endswith("\n") or not text else "\n"
    added = f"{begins}[agent]\nruninterval = 1h\n"

    edited = puppet_conf.applied(text, ENC) + added

    assert "[agent]" in edited.splitlines()
    assert puppet_conf.removed(edited) == text + added


@pytest.mark.parametrize(
    ("text", "section"),
    [
        ("[main]\na = 1\n[server]\nb = 2\n[master]\n", "server"),
        ("[main]\na = 1\n[master]\nb = 2\n", "master"),
        ("[main]\na = 1\n", "server"),
        ("", "server"),
    ],
)
def test_the_lines_go_where_puppet_looks_first(text: str, section: str) -> None:
    """[server] wins over [master], and a new [server] is made only when there is neither."""
    found = puppet_conf.applied(text, ENC).partition(f"[{section}]")[2]

    assert "node_terminus = exec\nexternal_nodes = /usr/bin/espm_enc -d /opt/espm/enc" in found
    assert puppet_conf.applied(text, ENC).count(f"[{section}]") == 1


def test_settings_that_were_there_are_kept_as_comments() -> None:
    """No section has two ENCs, and the old one can be read and restored."""
    text = "[server]\nnode_terminus = exec\nexternal_nodes = /etc/enc\n"
    lines = puppet_conf.applied(text, ENC).splitlines()

    assert [line for line in lines if line.startswith("external_nodes")] == [
        "external_nodes = /usr/bin/espm_enc -d /opt/espm/enc"
    ]
    assert "# espm keeps: external_nodes = /etc/enc" in lines


@pytest.mark.parametrize("word", ["/a b", "", '/a"b', "$confdir/enc", "/a\nb"])
def test_words_that_puppet_would_split_are_refused(word: str) -> None:
    """Puppet splits the command at white space and knows no quotes."""
    with pytest.raises(SetupError, match="cannot run an ENC"):
        puppet_conf.settings(["/usr/bin/espm_enc", "-d", word])


@pytest.mark.parametrize("mark", ["# espm begin", "# espm end"])
@pytest.mark.parametrize("edit", [puppet_conf.removed, lambda text: puppet_conf.applied(text, ENC)])
def test_a_block_without_one_of_its_marks_is_left_to_people(
    mark: str, edit: Callable[[str], str]
) -> None:
    """Nobody can say where it ends, and our own ENC would be taken for a setting to keep."""
    text = puppet_conf.applied("[server]\nexternal_nodes = /etc/enc\n", ENC)
    broken = "\n".join(line for line in text.split("\n") if not line.startswith(mark))

    with pytest.raises(SetupError, match=r"line [25]: the marks .* do not pair"):
        edit(broken)


def test_a_second_block_does_not_hide_that_the_first_has_no_end() -> None:
    """What somebody wrote between them would be cut out."""
    block = puppet_conf.applied("", ENC)
    text = block.replace("\n# espm end", "") + "\nmine = 1\n" + block

    with pytest.raises(SetupError, match="line 2: the marks"):
        puppet_conf.removed(text)


def test_comments_that_look_like_ours_stay_comments() -> None:
    """Only what our block says that it keeps comes back."""
    text = "[main]\n# espm keeps: external_nodes = /old\n[server]\nexternal_nodes = /etc/enc\n"

    assert text == puppet_conf.removed(text)
    assert text == puppet_conf.removed(puppet_conf.applied(text, ENC))


def test_another_editors_line_breaks_do_no_harm() -> None:
    """A file that was saved with those of Windows can still be cleaned."""
    text = "[main]\n[server]\nexternal_nodes = /etc/enc\n"
    saved = puppet_conf.applied(text, ENC).replace("\n", "\r\n")

    assert text.replace("\n", "\r\n") == puppet_conf.removed(saved)
