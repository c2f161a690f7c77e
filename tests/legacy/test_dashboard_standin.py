"""The dashboard stand-in prints what was recorded of the real one, line by line."""

from __future__ import annotations

import io
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.legacy.dashboard import Dashboard, legacy_dashboard
from tests.legacy.dashboard_enc import answer
from tests.legacy.dashboard_rake import Rake
from tests.legacy.dashboard_version import VERSIONS

if TYPE_CHECKING:
    from pathlib import Path

SEE = "(See full trace by running task with --trace)"
OLD, MIDDLE, NEW, TWO, THREE = VERSIONS


def dashboard(tmp_path: Path, version: str) -> Dashboard:
    """Return a dashboard with two classes, a group and a node."""
    made = legacy_dashboard(tmp_path, version)
    made.add_class("ssh", "ntp", "ssh::server")
    made.add_group("web servers", ["ntp"])
    made.add_node("old.example.com", ["web servers"], ["ssh"])
    return made


def rake(made: Dashboard, *words: str, **environment: str) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of a run without the banner."""
    out, err = io.StringIO(), io.StringIO()
    run = Rake(made.directory, made.version, environment, out, err)
    status = run.main(["-f", str(made.rakefile), "-s", *words])
    return status, out.getvalue(), err.getvalue()


ADDED = "Node successfully created!"
FACTS = [
    (OLD, "node:add name=n", 0, ADDED),
    (OLD, "node:add name=old.example.com", 1, "Node already exists!"),
    (OLD, "node:add name=OLD.Example.com", 1, "Node already exists!"),
    (OLD, "node:add", 1, "Must specify node name (name=<hostname>)."),
    (OLD, "node:add name=", 1, ("There was a problem saving the node: "
     "Validation failed: Name can't be blank")),
    (OLD, "node:add name=n groups=nosuch classes=nosuch", 0, ADDED),
    (OLD, "node:add[z.example.com]", 1, "Must specify node name (name=<hostname>)."),
    (OLD, "node:del name=old.example.com", 0, ""),
    (OLD, "node:del name=n", 1, "Node does not exist!"),
    (MIDDLE, "node:del name=n", 1, "Node does not exist!"),
    (NEW, "node:del name=n", 1, "Node n doesn't exist!"),
    (OLD, "node:classes name=old.example.com classes=", 0,
     "[]\nNode classes successfully edited for old.example.com!"),
    (OLD, "node:classes name=old.example.com classes=nosuch", 0,
     "[]\nNode classes successfully edited for old.example.com!"),
    (NEW, "node:classes name=old.example.com classes=ssh", 0,
     "Node classes successfully edited for old.example.com!"),
    (OLD, "node:classes name=old.example.com", 1, "Must specify class(es) to set on node."),
    (OLD, "node:classes name=n classes=ssh", 1, "Node doesn't exist!"),
    (MIDDLE, "node:classes name=n classes=ssh", 1, "Node n doesn't exist!"),
    (MIDDLE, "node:groups groups=g", 1, "Node  doesn't exist!"),
    (OLD, "node:groups name=old.example.com groups=", 0,
     "Node groups successfully edited for old.example.com!"),
    (OLD, "node:groups name=old.example.com", 1, "Must specify group(s) to set on node"),
    (OLD, "node:list", 0, "old.example.com"),
    (OLD, "node:list match=^nosuch$", 0, ""),
    (OLD, "nodeclass:list", 0, "ntp\nssh\nssh::server"),
    (OLD, "nodegroup:list match=web", 0, "web servers"),
    (OLD, "nodeclass:add name=new", 0, "Class successfully created!"),
    (OLD, "nodeclass:add name=SSH", 1, "Class already exists!"),
    (OLD, "nodeclass:add name=b!d", 0, ""),
    (OLD, "nodeclass:del name=ssh", 0, ""),
    (NEW, "nodeclass:del name=ssh", 0, "Group successfully deleted!"),
    (OLD, "nodeclass:del name=nosuch", 1, "Class doesn't exist!"),
    (NEW, "nodeclass:del name=nosuch", 1, "Node class nosuch doesn't exist!"),
    (OLD, "nodegroup:add name=db", 0, "Group successfully created!"),
    (OLD, "nodegroup:add name=Web~Servers", 1, "Group already exists!"),
    (OLD, "nodegroup:addclass name=web~servers class=ssh", 0,
     "Class 'ssh' added to node group 'web servers'"),
    (OLD, "nodegroup:addclass name=web~servers class=ntp", 0,
     "Group 'web servers' already includes class 'ntp'"),
    (OLD, "nodegroup:addclass name=web~servers class=nosuch", 1, "Class doesn't exist!"),
    (OLD, "nodegroup:addclass name=nosuch class=ssh", 1, "Group doesn't exist!"),
    (OLD, "nodegroup:edit name=web~servers classes=ssh", 0, "Group successfully edited!"),
    (OLD, "nodegroup:edit name=nosuch", 1, "Group doesn't exist!"),
    (OLD, "nodegroup:del name=web~servers", 0, ""),
    (NEW, "nodegroup:del name=web~servers", 0, "Group successfully deleted!"),
    (OLD, "nodegroup:del name=nosuch", 1, "Group doesn't exist!"),
    (MIDDLE, "nodegroup:add_all_nodes group=web~servers", 0, ""),
    (MIDDLE, "nodegroup:add_all_nodes name=web~servers", 1,
     "Must specify group name (group=<groupname>)."),
    (NEW, "nodegroup:add_all_nodes name=web~servers", 0, ""),
    (MIDDLE, "node:parameters name=old.example.com parameters=a=1,b=x=y", 0,
     "Node parameters successfully edited for old.example.com!"),
    (MIDDLE, "node:parameters name=old.example.com", 1,
     "Must specify node parameters (parameters=param1=val1,param2=val2)"),
    (NEW, "node:parameters name=old.example.com", 0, ""),
    (MIDDLE, "nodegroup:parameters name=web~servers parameters=a=1", 0,
     "Node group parameters successfully edited for web servers!"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("version", "line", "status", "output"), FACTS, ids=[f"{fact[0]} {fact[1]}" for fact in FACTS]
)
def test_messages_and_exit_codes(
    version: str, line: str, status: int, output: str, tmp_path: Path
) -> None:
    """Each task says on stdout, and ends with, what section 3.3 has; ``~`` is a blank."""
    words = [word.replace("~", " ") for word in line.split()]

    found = rake(dashboard(tmp_path, version), *words)

    assert found == (status, f"{output}\n" if output else "", "")


@pytest.mark.parametrize(
    ("version", "line", "message"),
    [
        (OLD, "node:bogus", "Don't know how to build task 'node:bogus'"),
        (OLD, "node:parameters name=n", "Don't know how to build task 'node:parameters'"),
        (OLD, "node:list match=[", "premature end of char-class: /[/"),
        (MIDDLE, "node:parameters name=old.example.com parameters=novalue",
         "Could not parse parameter novalue given. Perhaps you're missing a '='"),
        (MIDDLE, "node:parameters name=old.example.com parameters=a=1,2",
         "Could not parse parameter 2 given. Perhaps you're missing a '='"),
        (MIDDLE, "node:parameters name=old.example.com parameters=x=",
         "Could not parse parameters x. Please check your format"),
        (MIDDLE, "node:parameters name=old.example.com parameters==v",
         ("Could not parse parameters. Please check your format. "
         "Perhaps you need to name a parameter before a '='")),
        (NEW, "nodeclass:add name=b!d",
         ("Validation failed: Name must contain a valid Puppet class name, "
         "e.g. 'foo' or 'foo::bar'")),
    ],
)  # fmt: skip
def test_rake_aborts(version: str, line: str, message: str, tmp_path: Path) -> None:
    """An abort is four lines on stderr and exit code 1."""
    found = rake(dashboard(tmp_path, version), *line.split())

    assert found == (1, "", f"rake aborted!\n{message}\n\n{SEE}\n")


def test_the_debug_print_of_classes(tmp_path: Path) -> None:
    """Up to 1.2.22 the new classes are printed as Ruby sees them before the success."""
    made = dashboard(tmp_path, MIDDLE)
    _, output, _ = rake(made, "node:classes", "name=old.example.com", "classes=ntp")

    assert output.startswith('[#<NodeClass id: 2, name: "ntp", created_at: ')
    assert output.endswith("]\nNode classes successfully edited for old.example.com!\n")


def test_the_messages_of_3_0_go_to_stderr(tmp_path: Path) -> None:
    """What a list lists stays on stdout."""
    made = dashboard(tmp_path, THREE)

    assert rake(made, "node:add", "name=n") == (0, "", f"{ADDED}\n")
    assert rake(made, "nodegroup:list") == (0, "web servers\n", "")


def test_parameters_of_a_node_are_deprecated_from_2_0_on(tmp_path: Path) -> None:
    """They are an alias of variables, and say so on stderr."""
    arguments = ("name=old.example.com", "parameters=a=1")
    status, output, errors = rake(dashboard(tmp_path, TWO), "node:parameters", *arguments)

    assert (status, errors) == (
        0,
        "node:parameters is deprecated, use node:variables instead\n",
    )
    assert output == "Node parameters successfully edited for old.example.com!\n"


def test_tasks_are_listed_by_version(tmp_path: Path) -> None:
    """The list tells whether there is a task for parameters."""
    (tmp_path / "old").mkdir()
    (tmp_path / "middle").mkdir()

    assert "node:parameters" not in rake(dashboard(tmp_path / "old", OLD), "-T", "node:")[1]
    assert (
        "\nrake node:parameters  #"
        in rake(dashboard(tmp_path / "middle", MIDDLE), "-T", "node:")[1]
    )


def test_a_task_given_twice_runs_once(tmp_path: Path) -> None:
    """With the last name."""
    made = dashboard(tmp_path, OLD)

    assert rake(made, "node:add", "name=x1", "node:add", "name=x2", "node:list") == (
        0, f"{ADDED}\nold.example.com\nx2\n", "",
    )  # fmt: skip


def test_a_node_goes_with_its_memberships_and_parameters(tmp_path: Path) -> None:
    """A node that is added again has none of them."""
    made = dashboard(tmp_path, MIDDLE)
    for words in (
        "node:parameters name=old.example.com parameters=a=1",
        "node:del name=old.example.com",
        "node:add name=old.example.com",
    ):
        rake(made, *words.split())

    assert made.node("old.example.com") == {"groups": [], "classes": [], "parameters": []}


def told(made: Dashboard, name: str) -> str:
    """Return the ENC's answer for *name*."""
    return answer(made.store, made.version, name).body


def test_the_answer_of_the_enc(tmp_path: Path) -> None:
    """Classes and parameters of groups and node; every value is a string."""
    made = legacy_dashboard(tmp_path, MIDDLE)
    made.add_class("ntp", "ssh::server")
    made.add_group("g1", ["ntp"], {"tier": "front"})
    made.add_node("ok.example.com", ["g1"], ["ssh::server"])
    rake(made, "node:parameters", "name=ok.example.com", "parameters=port=8080,flag=true")

    assert told(made, "ok.example.com") == (
        "---\nname: ok.example.com\nclasses:\n- ntp\n- ssh::server\n"
        "parameters:\n  tier: front\n  port: '8080'\n  flag: 'true'\n"
    )


def test_the_classes_are_a_hash_from_2_0_on(tmp_path: Path) -> None:
    """Each class with its parameters, of which there are none."""
    body = told(dashboard(tmp_path, TWO), "old.example.com")

    assert body == "---\nname: old.example.com\nclasses:\n  ntp: {}\n  ssh: {}\nparameters: {}\n"


def test_a_node_that_nobody_knows_has_no_name(tmp_path: Path) -> None:
    """That is no error to the ENC."""
    assert told(dashboard(tmp_path, OLD), "nobody.example.com") == "---\nclasses: []\n"


def run(made: Dashboard, program: Path, *words: str) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of a program in an empty environment."""
    done = subprocess.run(
        [program, *words], env={}, cwd="/", capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_the_programs_run_anywhere(tmp_path: Path) -> None:
    """They need no environment, and each run is logged with its arguments."""
    made = dashboard(tmp_path, OLD)
    listed = run(made, made.rake, "-f", str(made.rakefile), "node:list")
    asked = run(made, made.external_node, "nobody")

    assert listed == (0, "(in /)\nold.example.com\n", "")
    assert asked == (0, "---\nclasses: []\n", "")
    assert [each["argv"][0] for each in made.commands()] == ["rake", "external_node"]
    assert all(each["start"] <= each["end"] for each in made.commands())


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("disabled", "Error: 403 Forbidden\nNode classification has been disabled\n"),
        ("down", "/usr/lib/ruby/1.8/net/http.rb:560:in `initialize': Connection refused"),
    ],
)
def test_an_enc_that_does_not_answer(mode: str, says: str, tmp_path: Path) -> None:
    """It ends with 1 and says why on stderr."""
    made = dashboard(tmp_path, OLD)
    made.set_mode(mode)
    status, output, errors = run(made, made.external_node, "old.example.com")

    assert (status, output) == (1, "")
    assert errors.startswith(says)


def test_trap_variables_of_the_caller_are_arguments(tmp_path: Path) -> None:
    """A variable called ``name`` in the environment is the node's name."""
    made = dashboard(tmp_path, OLD)

    assert rake(made, "node:add", name="leak") == (0, f"{ADDED}\n", "")
    assert made.node("leak") is not None


def test_trap_a_newline_cuts_a_value(tmp_path: Path) -> None:
    """What stands behind it is lost."""
    made = dashboard(tmp_path, OLD)
    rake(made, "node:add", "name=a\nb")

    assert made.node("a") is not None


def test_trap_a_parameter_that_is_set_again_is_there_twice(tmp_path: Path) -> None:
    """Up to 1.2.22; the ENC shows the last, and 1.2.23 changes the row."""
    for version, rows in (
        (MIDDLE, [("a", "1"), ("b", "2"), ("a", "3")]),
        (NEW, [("a", "3"), ("b", "2")]),
    ):
        (tmp_path / version).mkdir()
        made = dashboard(tmp_path / version, version)
        for parameters in ("a=1,b=2", "a=3"):
            rake(made, "node:parameters", "name=old.example.com", f"parameters={parameters}")

        assert (made.node("old.example.com") or {})["parameters"] == rows
        assert "  a: '3'\n" in told(made, "old.example.com")


def test_trap_items_are_stripped_from_1_2_23_on(tmp_path: Path) -> None:
    """Before, only the blanks behind a comma are lost."""
    for version, value in ((MIDDLE, " 1 "), (NEW, " 1")):
        (tmp_path / version).mkdir()
        made = dashboard(tmp_path / version, version)
        rake(made, "node:parameters", "name=old.example.com", "parameters= a = 1 ")

        assert (made.node("old.example.com") or {})["parameters"] == [("a", value)]


def test_trap_groups_that_contradict_each_other_fail_the_node(tmp_path: Path) -> None:
    """Unless the node has a value of its own."""
    made = dashboard(tmp_path, MIDDLE)
    made.add_group("a", (), {"tier": "front"})
    made.add_group("b", (), {"tier": "back"})
    made.add_node("torn.example.com", ["a", "b"])
    torn = run(made, made.external_node, "torn.example.com")
    rake(made, "node:parameters", "name=torn.example.com", "parameters=tier=own")

    text = 'Node "torn.example.com" has conflicting parameter(s): tier'
    assert torn == (1, "", f"Error: 500 Internal Server Error\n{text}\n")
    assert told(made, "torn.example.com").endswith("parameters:\n  tier: own\n")
