"""The documentation says what there is: no more, no less, and its links lead somewhere."""

from __future__ import annotations

import argparse
import re
import shlex
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from espm import __main__ as espm_command
from espm import check, metrics
from espm.api import bodies
from espm.api.kinds import BY_SLUG
from espm.api.routes import ROUTES
from espm.config import spec as configspec
from espm.exits import Exit
from espm.exposition import Exposition
from espm.model import Backlog, IntentKind, Limits, NodeState
from espm.server.connections import ServerLimits
from espm_setup import options as setup_options

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

API = (DOCS / "api.md").read_text()
ADMINISTRATION = (DOCS / "administration.md").read_text()


def section(text: str, title: str) -> str:
    """Return what stands under a heading, up to the next one of its level."""
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", text)


def commands(text: str) -> list[list[str]]:
    """Return the words of each command that a reader may type, continued lines joined."""
    found = []
    for block in blocks(text, "console"):
        lines = re.findall(r"(?m)^[#$] (.*)$", block.replace("\\\n", " "))
        found += [shlex.split(line, comments=True) for line in lines if _is_whole(line)]
    return found


def _is_whole(line: str) -> bool:
    return line.count("'") % 2 == 0 and not line.startswith("(")


def parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return every command of *parser* by its words, ``""`` for the parser itself."""
    found = {"": parser}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                found |= {f"{name} {more}".strip(): each for more, each in parsers(inner).items()}
    return found


ESPM = parsers(espm_command._parser())


def test_every_problem_is_documented_and_no_other() -> None:
    """The table of problems has each slug with its status."""
    rows = re.findall(r"(?m)^\| `/problems/([a-z-]+)` \| (\d+) \|", section(API, "Problems"))

    assert sorted((kind.slug, str(int(kind.status))) for kind in BY_SLUG.values()) == sorted(rows)


def test_every_route_is_documented_and_no_other() -> None:
    """The first table of the API has each request."""
    rows = re.findall(r"(?m)^\| \[`([A-Z]+) ([^`]+)`\]", API)

    assert sorted((route.method, route.path) for route in ROUTES) == sorted(rows)


@pytest.mark.parametrize("member", ["certname", "certificate", *bodies._CLASSIFICATION])
def test_the_members_of_a_new_node_are_documented(member: str) -> None:
    """The table of POST has each member that the body may have."""
    assert f"| `{member}` | " in section(API, "Add a node")


@pytest.mark.parametrize("limit", Limits.__slots__)
def test_the_limits_are_documented(limit: str) -> None:
    """The example of whoami has each limit."""
    assert f'"{limit}": [' in section(API, "Who am I")


def test_the_states_of_a_node_are_documented() -> None:
    """The states that can be listed are named, and the picture has all of them."""
    picture = (DOCS / "architecture.md").read_text()
    listed = {NodeState.ADDING, NodeState.ACTIVE, NodeState.DELETING}

    assert all(f"`{state}`" in section(API, "List nodes") for state in listed)
    assert all(str(state) in section(picture, "States") for state in NodeState)
    assert all(f"`{kind}`" in section(picture, "States") for kind in IntentKind)


def test_the_limits_of_the_server_are_documented() -> None:
    """Sizes and times are those that clients meet."""
    text = section((DOCS / "architecture.md").read_text(), "The server")
    limits = ServerLimits()
    times = (
        limits.handshake_seconds,
        limits.header_seconds,
        limits.body_seconds,
        limits.response_seconds,
        limits.idle_seconds,
    )

    assert [f"{seconds:.0f}" for seconds in times] == re.findall(r"(?<!\()\b(\d+) s\b", text)
    assert f"at most {limits.header_bytes // 1024} KiB, a body {limits.body_bytes // 1024}" in text
    assert f"at most\n{limits.body_bytes // 1024} KiB" in API


def test_every_exit_code_is_documented() -> None:
    """The table of espm's exit codes is the one of its help, and each is one that espm knows."""
    rows = re.findall(
        r"(?m)^\| (\d+) \| (.*) \|$", section(ADMINISTRATION, "Commands and exit codes")
    )
    shown = re.findall(r"(?m)^ +(\d+)  (.*)$", espm_command._EPILOG)

    assert shown == rows
    assert {int(code) for code, _ in rows} <= set(Exit)


def test_every_command_of_espm_is_documented_and_no_other() -> None:
    """The table of commands has each command that does something, with its options."""
    table = section(ADMINISTRATION, "Commands and exit codes").partition("| exit code")[0]
    rows = re.findall(r"(?m)^\| `espm((?: [a-z]+)*)", table)
    doing = {name for name, parser in ESPM.items() if parser.get_default("run")}
    named = {word for parser in ESPM.values() for action in parser._actions
             for word in action.option_strings} - {"-h"}  # fmt: skip

    assert doing == {name.strip() for name in rows}
    assert named == set(re.findall(r"(?<![\w-])--?[a-z]+", table))


def test_every_check_is_documented_and_no_other() -> None:
    """The table of `espm check` has each line that the screen can have, in its order."""
    rows = re.findall(
        r"(?m)^\| `([^`]+)` \|", section(ADMINISTRATION, "What `espm check` looks at")
    )

    assert ["config", *(subject for subject, _, _ in check.CHECKS)] == rows


def test_every_metric_is_documented_and_no_other() -> None:
    """The table has the names, types and labels of what a scrape has."""
    readiness = SimpleNamespace(glance=lambda: {"ledger": None}, backlog=Backlog())
    exposition = Exposition(readiness, lambda: (0, 0), lambda: 0)  # type: ignore[arg-type]
    metrics.note_request("GET", "/healthz", "200", 0.1)
    metrics.CERTIFICATE_END.labels("server").set(1)
    scraped = {
        (family.name.removesuffix("_total") + "_total" * (family.type == "counter"), family.type):
        {label for sample in family.samples for label in sample.labels} - {"le"}
        for family in text_string_to_metric_families(exposition.text().decode())
    }  # fmt: skip
    rows = re.findall(
        r"(?m)^\| (`[a-z_`, ]+`) \| (\w+) \| (.*?) ?\| ", section(ADMINISTRATION, "What to watch")
    )
    documented = {
        (name, kind): set(re.findall(r"`(\w+)`", labels))
        for names, kind, labels in rows
        for name in re.findall(r"`(\w+)`", names)
    }

    assert documented == scraped


@pytest.mark.parametrize("backend", [name for _, name in configspec.backend_names()])
def test_every_backend_is_documented(backend: str) -> None:
    """The page of the backends names each that can be configured."""
    assert f"`{backend}`" in (DOCS / "backends.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_commands_are_valid(page: Path) -> None:
    """Each call of espm and espm_setup that a page shows has options that exist."""
    for words in commands(page.read_text()):
        for program, parser in (("espm", ESPM[""]), ("espm_setup", setup_options.parser())):
            places = [at for at, word in enumerate(words) if Path(word).name == program]
            # Not where the name is an argument: a service, a directory to clone into.
            places = [at for at in places if at == 0 or words[at].startswith("/opt/espm/venv/bin/")]
            for at in places:
                assert parser.parse_args(words[at + 1 :])


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_make_targets_exist(page: Path) -> None:
    """Each `make TARGET` that a page shows is in the Makefile."""
    wanted = set(re.findall(r"(?:^\$ |`)make ([a-z]+)", page.read_text(), re.MULTILINE))
    known = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text()))

    assert wanted <= known


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_links_resolve(page: Path) -> None:
    """Each relative link of a page leads to a file that exists."""
    text = re.sub(r"(?ms)^```.*?^```$|`[^`\n]*`", "", page.read_text())
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text)]
    missing = [t for t in targets if t and "://" not in t and not (page.parent / t).exists()]

    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_has_a_text(page: Path) -> None:
    """A link can be read and followed where Markdown is shown as it is, without Sphinx."""
    text = page.read_text()

    assert re.findall(r"\[\s*\]\([^)]*\)", text) == []
    assert re.findall(r"(?m)^\([\w-]+\)=$", text) == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_files_that_are_named_exist(page: Path) -> None:
    """Each file of the repository that a page names is there."""
    named = re.findall(r"`((?:espm|espm_setup|etc|tests|docs)/[\w./-]+)`", page.read_text())
    made = re.compile(r"etc/(espm\.ini|groups\.yaml|certs)$")  # By espm_setup, not by us.

    assert [name for name in named if not made.match(name) and not (ROOT / name).exists()] == []


@pytest.mark.parametrize("folder", [DOCS, DOCS / "decisions"], ids=["docs", "decisions"])
def test_every_page_is_in_the_contents(folder: Path) -> None:
    """Each page is listed in the index of its directory, and nothing else is."""
    text = (folder / "index.md").read_text()
    listed = re.findall(r"(?m)^(?:\*|\d+\.) \[[^]]+\]\(([^/)]+\.md)\)$", text)
    pages = {path.name for path in folder.glob("*.md")} - {"index.md"}

    assert sorted(pages) == sorted(listed)


def test_the_manifest_names_what_exists() -> None:
    """Each file and each pattern of MANIFEST.in finds something."""
    for line in (ROOT / "MANIFEST.in").read_text().splitlines():
        verb, *words = line.split()
        folder = ROOT / words.pop(0) if verb == "recursive-include" else ROOT
        assert all(next(folder.rglob(word), None) for word in words), line


def test_decisions_are_numbered_without_gaps() -> None:
    """The decisions are 0001, 0002 and so on, each with its number in its title."""
    pages = sorted((DOCS / "decisions").glob("0*.md"))
    numbers = [int(page.name[:4]) for page in pages]

    assert all(after - before == 1 for before, after in pairwise([0, *numbers]))
    assert all(
        page.read_text().startswith(f"# {number}. ")
        for page, number in zip(pages, numbers, strict=True)
    )
