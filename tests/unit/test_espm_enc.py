"""espm_enc answers for our nodes, hands on what is not ours, and refuses all else."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from espm.classifier.directory import prepare
from espm.classifier.documents import Documents
from espm.classifier.stamp import Stamp, State

if TYPE_CHECKING:
    from collections.abc import Callable

SCRIPT = Path(__file__).parents[2] / "etc" / "espm_enc"
BODY = '"environment": "production",\n"classes": {},\n"parameters": {"x": "%s"}}\n'
HEAD = '{"espm": {"generation": 1, "version": 1, "state": "present"},\n'
WITHHELD = HEAD.replace("present", "withheld")

Enc = "Callable[..., subprocess.CompletedProcess[str]]"

SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    """Return each of the shells that /bin/sh may be."""
    program, *arguments = SHELLS[request.param]
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"no {program}: run tests/prerequisites.sh")
    return [path, *arguments]


@pytest.fixture
def enc(shell: list[str], directory: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return the script on the directory, run by the shell."""

    def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [*shell, str(SCRIPT), "-d", str(directory), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=False, **options
        )

    return run


@pytest.fixture
def fallback(tmp_path: Path) -> Path:
    """Return an ENC that says what it was asked, and exits with the status in a file, if any."""
    path = tmp_path / "fallback"
    path.write_text(
        '#!/bin/sh\nprintf "<%s>" "$@"\n'
        'status=${0%/*}/status; [ ! -e "$status" ] || exit "$(cat "$status")"\n'
    )
    path.chmod(0o755)
    return path


def refused(result: subprocess.CompletedProcess[str]) -> bool:
    """Return whether Puppet would refuse the catalog, and a log could say why."""
    return (result.returncode, result.stdout) == (1, "") and "espm_enc: " in result.stderr


def test_a_document_is_printed_as_it_is(enc: Any, directory: Path) -> None:
    """Byte for byte, backslashes, percent signs and long lines included."""
    text = HEAD + BODY % ("\\n%s\\\\ " + "y" * 100_000)
    (directory / "web1.example.com.json").write_text(text)
    result = enc("web1.example.com")

    assert (0, text, "") == (result.returncode, result.stdout, result.stderr)


def test_what_the_classifier_publishes_is_a_document(enc: Any, directory: Path) -> None:
    """Script and classifier agree on the head."""
    documents = Documents(directory)
    documents.publish("web1", Stamp(10**9, 12, State.PRESENT), BODY % "a")

    assert (0, (directory / "web1.json").read_text()) == (
        (result := enc("web1")).returncode,
        result.stdout,
    )

    documents.withhold("web2", Stamp(10**9, 12, State.WITHHELD))

    assert refused(result := enc("web2"))
    assert "being deleted" in result.stderr


def test_a_document_that_is_just_being_withheld_is_never_printed(enc: Any, directory: Path) -> None:
    """Whatever of the old and the new first line a reader gets, in pieces of any length."""
    documents = Documents(directory)
    file = directory / "web1.json"
    documents.publish("web1", Stamp(1, 1, State.PRESENT), BODY % "a")
    old = file.read_text()
    documents.withhold("web1", Stamp(1, 1, State.WITHHELD))
    new = file.read_text()

    assert refused(result := enc("web1"))
    assert "being deleted" in result.stderr
    assert len(old) == len(new)
    differ = [place for place in range(len(old)) if old[place] != new[place]]
    for place in differ:
        for text in (old[:place] + new[place:], new[: place + 1] + old[place + 1 :]):
            file.write_text(text)
            assert refused(enc("web1")), text


def test_an_unknown_node_is_left_to_site_pp(enc: Any) -> None:
    """Without a fallback the answer is an empty classification, not an empty answer."""
    result = enc("unknown.example.com")

    assert (result.returncode, result.stdout, result.stderr) == (0, "{}\n", "")


def test_an_unknown_node_is_handed_to_the_fallback(enc: Any, fallback: Path) -> None:
    """Its words reach it as they are, the name last, even words that look like options."""
    result = enc("-f", str(fallback), "-f", "--fast", "-f", "-d", "-f", "*", "unknown")

    assert (result.returncode, result.stdout) == (0, "<--fast><-d><*><unknown>")


def test_the_fallbacks_exit_code_is_puppets(enc: Any, fallback: Path) -> None:
    """A fallback that refuses is not turned into one that answers."""
    (fallback.parent / "status").write_text("3")

    assert enc("-f", str(fallback), "unknown").returncode == 3


def test_a_fallback_that_is_missing_is_a_failure(enc: Any) -> None:
    """Puppet refuses the catalog rather than leave the node without its classes."""
    result = enc("-f", "/nonexistent/enc", "unknown")

    assert result.returncode != 0
    assert result.stdout == ""


def test_the_fallback_is_not_asked_for_ours(enc: Any, directory: Path, fallback: Path) -> None:
    """Neither for a document nor for a tombstone nor for a damaged one."""
    for text in (HEAD + BODY % "a", WITHHELD + BODY % "a", "damaged\n", ""):
        (directory / "web1.json").write_text(text)

        assert "<web1>" not in enc("-f", str(fallback), "web1").stdout


@pytest.mark.parametrize(
    "name",
    [
        *("--all", "-d", "-f", "--", "-", "-dx", "-fx", "-x", ".", "..", "../x", "a/b", "", "A"),
        *("web1\n", "\nweb1", "we b1", "web1.json/", ".espm-enc", ".lock", "a..b", "wéb", "*"),
        *("$(id)", "`id`", "a;b", "a,b", "a" * 251, "web1'", 'web1"', "web1\\"),
    ],
)
def test_what_is_not_a_certname_is_refused(
    name: str, enc: Any, directory: Path, fallback: Path
) -> None:
    """Also names that look like options of ours; the fallback never sees them."""
    (directory / "web1.json").write_text(HEAD + BODY % "a")

    assert refused(enc("-f", str(fallback), name))


@pytest.mark.parametrize("names", [[], ["a", "b"]])
def test_exactly_one_name_is_wanted(names: list[str], enc: Any) -> None:
    """Anything else is not how Puppet calls an ENC."""
    assert refused(enc(*names))


@pytest.mark.parametrize(
    "text",
    [
        *("", "\n", "{}\n", HEAD[:30], HEAD[:-1], " " + HEAD, HEAD.replace("present", "other")),
        *(HEAD.replace('"generation": 1', '"generation": '), HEAD.replace("},", "}"), "\x00" * 99),
    ],
)
def test_a_damaged_document_is_refused(text: str, enc: Any, directory: Path) -> None:
    """Empty, cut within the head, or not one of ours."""
    (directory / "web1.json").write_text(text)

    assert refused(enc("web1"))


def test_what_is_not_a_file_is_refused_at_once(enc: Any, directory: Path, fallback: Path) -> None:
    """A directory, a dangling link and a FIFO are neither documents nor 'no such file'."""
    (directory / "dir.json").mkdir()
    (directory / "link.json").symlink_to("nowhere")
    os.mkfifo(directory / "fifo.json")
    for name in ("dir", "link", "fifo"):
        assert refused(enc("-f", str(fallback), name)), name


def test_a_directory_without_its_marker_is_refused(
    enc: Any, directory: Path, fallback: Path
) -> None:
    """A missing mount must not make all nodes somebody else's."""
    (directory / ".espm-enc").unlink()

    assert refused(enc("-f", str(fallback), "web1"))

    shutil.rmtree(directory)

    assert refused(enc("-f", str(fallback), "web1"))


@pytest.mark.parametrize("mode", ["file", "directory"])
def test_what_may_not_be_read_is_refused(mode: str, shell: list[str], fallback: Path) -> None:
    """'Permission denied' is not 'no such file'."""
    import tempfile  # noqa: PLC0415 -- tmp_path is closed to other users

    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        script = Path(shutil.copy(SCRIPT, scratch))
        script.chmod(0o755)
        enc = Path(scratch, "enc")
        enc.mkdir()
        prepare(enc)
        (enc / ".espm-enc").chmod(0o644)
        (enc / "web1.json").write_text(HEAD + BODY % "a")
        (enc / "web1.json").chmod(0)
        enc.chmod(0o755 if mode == "file" else 0o700)
        options: dict[str, Any] = {"user": "nobody"} if os.geteuid() == 0 else {}
        if mode == "directory" and not options:
            enc.chmod(0)
        result = subprocess.run(
            [*shell, str(script), "-d", str(enc), "-f", "/bin/echo", "web1"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            **options,
        )
        enc.chmod(0o755)

    assert refused(result), result


def test_no_variable_of_the_environment_changes_the_answer(enc: Any, directory: Path) -> None:
    """Names of the script's own variables and the locale are set by the script alone."""
    odd = {"fallback": "/bin/echo\n", "directory": "/", "IFS": "e", "LC_ALL": "en_US.UTF-8"}
    result = enc("unknown", env={"PATH": os.environ["PATH"], **odd})

    assert (result.returncode, result.stdout) == (0, "{}\n")


@pytest.mark.slow
def test_readers_see_whole_documents_while_they_are_swapped(enc: Any, directory: Path) -> None:
    """Under a writer that alternates documents and tombstones: all of one, or a refusal."""
    documents, stop = Documents(directory), threading.Event()
    bodies = [BODY % ("a" * 20_000), BODY % ("b" * 50_000)]
    documents.publish("web1", Stamp(1, 1, State.PRESENT), bodies[0])

    def swap() -> None:
        generation = 1
        while not stop.is_set():
            generation += 1
            documents.publish("web1", Stamp(generation, 1, State.PRESENT), bodies[generation % 2])
            documents.withhold("web1", Stamp(generation, 1, State.WITHHELD))

    writer = threading.Thread(target=swap)
    writer.start()
    try:
        results = [enc("web1") for _ in range(200)]
    finally:
        stop.set()
        writer.join()
    whole = [r for r in results if not refused(r)]

    assert all(r.returncode == 0 and r.stdout.split("\n", 1)[1] in bodies for r in whole)
    assert 0 < len(whole) < 200


@pytest.mark.parametrize("given", ["C.UTF-8", "", None])
def test_the_fallback_has_the_language_that_puppet_has(
    given: str | None, enc: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours is for ourselves: an ENC of old may have names that are not ASCII."""
    script = tmp_path / "says"
    script.write_text("#!/bin/sh\nprintf '<%s>' \"${LC_ALL-unset}\"\n")
    script.chmod(0o755)
    if given is None:
        monkeypatch.delenv("LC_ALL", raising=False)
    else:
        monkeypatch.setenv("LC_ALL", given)

    assert enc("-f", str(script), "unknown").stdout == f"<{'unset' if given is None else given}>"
