"""What the words of a rake task mean, and for how long names are kept."""

from __future__ import annotations

import pytest

from espm.classifier import dashboard
from espm.errors import BackendRefused, BackendUnavailable, ConfigError
from espm.model import PuppetAccess
from espm.model.output import Output
from espm.rake import Names, Outcome, Rake
from tests.legacy.dashboard_host import OPTIONS

ACCESS = PuppetAccess(
    url="https://localhost:1", ca_url="", certificate="", private_key="", ca_file="", timeout=1
)


class Canned:
    """A host whose tasks all end in the same way."""

    def __init__(self, status: int, stdout: bytes, stderr: bytes = b"") -> None:
        self.output = Output(status, stdout, stderr)

    def call(
        self, verb: str, *arguments: str, stdin: bytes | None = None, timeout: float
    ) -> Output:
        """Say how it ended."""
        return self.output


ABORTED = b"rake aborted!\n%s\n\n(See full trace by running task with --trace)\n"


@pytest.mark.parametrize(
    ("output", "outcome"),
    [
        (Output(0, b"Node successfully created!\n", b""), Outcome.DONE),
        (Output(0, b"", b"Node successfully created!\n"), Outcome.DONE),
        (Output(1, b"(in /)\nNode already exists!\n", b""), Outcome.EXISTS),
        (Output(0, b"Node already exists!\n", b""), Outcome.EXISTS),
        (Output(0, b"[]\nNode groups successfully edited for N!\n", b""), Outcome.DONE),
        (Output(1, b"Node does not exist!\n", b""), Outcome.MISSING),
        (Output(0, b"Node doesn't exist!\n", b""), Outcome.MISSING),
        (Output(1, b"Node n.example.com doesn't exist!\n", b""), Outcome.MISSING),
    ],
)
def test_words_decide_and_not_the_exit_code(output: Output, outcome: Outcome) -> None:
    """On whichever stream they come, and whatever is printed besides."""
    rake = Rake(Canned(output.status, output.stdout, output.stderr), 60)

    assert rake.add("n", (), ()) is outcome


@pytest.mark.parametrize(
    ("status", "stdout", "stderr", "error"),
    [
        (0, b"", b"", BackendUnavailable),
        (0, b"something else\n", b"", BackendUnavailable),
        (1, b"", ABORTED % b"Mysql::Error: Can't connect to MySQL server", BackendUnavailable),
        (1, b"", ABORTED % b"Don't know how to build task 'node:add'", BackendRefused),
        (1, b"", ABORTED % b"No Rakefile found (looking for: /x)", BackendRefused),
        (1, b"Must specify node name (name=<hostname>).\n", b"", BackendRefused),
        (64, b"", b"espm_tools: not the certname of a node\n", BackendRefused),
        (-9, b"", b"", BackendUnavailable),
    ],
)
def test_words_that_nobody_knows_are_a_failure(
    status: int, stdout: bytes, stderr: bytes, error: type[Exception]
) -> None:
    """They are the error's cause, for the log, and no part of its message."""
    rake = Rake(Canned(status, stdout, stderr), 60)
    with pytest.raises(error) as caught:
        rake.add("n", (), ())

    assert (
        str(caught.value) == "the dashboard's rake task node:add failed; espm's log has its words"
    )
    assert (stdout + stderr).strip().decode() in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("status", "stderr"), [(1, b""), (0, ABORTED % b"Mysql::Error"), (64, b"")]
)
def test_a_list_that_failed_is_not_an_empty_one(status: int, stderr: bytes) -> None:
    """Nor is what it had printed before."""
    with pytest.raises((BackendRefused, BackendUnavailable)):
        Rake(Canned(status, b"web\n", stderr), 60).names("nodegroup:list")


def test_a_removal_says_nothing_when_it_was_done() -> None:
    """Silence is success only with exit code 0, and without an abort."""
    assert Rake(Canned(0, b""), 60).delete("n") is Outcome.DONE
    assert Rake(Canned(1, b"Node does not exist!\n"), 60).delete("n") is Outcome.MISSING
    for failed in (Canned(1, b""), Canned(0, b"", ABORTED % b"Mysql::Error")):
        with pytest.raises(BackendUnavailable):
            Rake(failed, 60).delete("n")


def test_a_list_of_tasks_without_nodes_is_not_a_dashboards() -> None:
    """Another Rakefile, or none, is a failure and remembered by nobody."""
    rake = Rake(Canned(0, b"rake db:migrate  # Migrate\n"), 60)
    for _ in range(2):
        with pytest.raises(BackendUnavailable):
            rake.tasks()


def test_names_are_kept_for_their_time() -> None:
    """A look serves those who are content with its age; one that fails leaves the names."""
    looks: list[object] = [("a",), ("b",), BackendUnavailable("away")]

    def look() -> tuple[str, ...]:
        found = looks.pop(0)
        if isinstance(found, Exception):
            raise found
        return tuple(found)  # type: ignore[arg-type]

    names = Names(look)

    assert [names.get(300), names.get(300), names.get(0)] == [("a",), ("a",), ("b",)]
    with pytest.raises(BackendUnavailable):
        names.get(0)
    assert names.get(300) == ("b",)


@pytest.mark.parametrize(
    ("key", "value"), [("environment", "Prod uction"), ("withheld_class", "--all")]
)
def test_the_section_is_checked(key: str, value: str) -> None:
    """A name that Puppet would never have is refused at the start."""
    with pytest.raises(ConfigError, match=r"\[dashboard\]"):
        dashboard.connect({"host": "local", **OPTIONS, key: value}, ACCESS)
