"""What every way to the host of Puppet's tools must do: here, and behind a real sshd."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from espm.errors import BackendRefused, BackendSilent, BackendUnavailable, ConfigError
from espm.host import connect
from espm.host.judging import judged
from espm.host.ssh import SshHost
from espm.model.output import Output
from tests import scratch_sshd
from tests.tools_tree import Tools, make_tools

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from espm.ports.host import Host
    from tests.scratch_sshd import Sshd

NAME = "web1.example.com"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Return a running sshd."""
    with scratch_sshd.running(tmp_path_factory.mktemp("sshd")) as started:
        yield started


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    """Return a helper whose Puppet says how it was called."""
    return make_tools(tmp_path)


@pytest.fixture(params=["local", pytest.param("ssh", marks=pytest.mark.slow)])
def host(request: pytest.FixtureRequest, tools: Tools) -> Host:
    """Reach it in each way in turn."""
    if request.param == "local":
        return connect(tools.options())
    found: Host = request.getfixturevalue("remote")
    return found


@pytest.fixture
def remote(server: Sshd, tools: Tools) -> Host:
    """Reach it by ssh."""
    return connect(tools.options(**server.options()))


def test_both_outputs_and_the_exit_status_come_back(host: Host, tools: Tools) -> None:
    """As the program gave them, bytes and all."""
    tools.script("puppet", "#!/bin/sh\nprintf 'a\\377\\n'\necho err >&2\nexit 24\n")
    output = host.call("list", timeout=30)

    assert (output.status, output.stdout, output.stderr) == (24, b"a\xff\n", b"err\n")


def test_what_is_not_there_is_said_by_the_status(host: Host) -> None:
    """It is no error of the host's."""
    assert host.call("certificate", NAME, timeout=30).status == 66


def test_stdin_gets_through(host: Host, tools: Tools) -> None:
    """All of it: what is too long is known to be."""
    assert host.call("submit", NAME, stdin=b"x" * 200_000, timeout=30).status == 64
    assert host.call("submit", NAME, timeout=30).status == 64


def test_a_large_file_comes_back_whole(host: Host, tools: Tools) -> None:
    """The CRL of an old CA has megabytes."""
    pem = b"-----BEGIN X509 CRL-----\n" + b"A" * 3_000_000 + b"\n-----END X509 CRL-----\n"
    tools.ca.joinpath("ca_crl.pem").write_bytes(pem)

    assert host.call("crl", timeout=30).stdout == pem


@pytest.mark.parametrize(
    "argument",
    [
        "a b",
        "$(touch /tmp/espm-hostile)",
        "'; id; '",
        '"',
        "a\nb",
        "\\",
        "*",
        "--all",
        "",
        "é",
        "~",
    ],
)
def test_arguments_are_words_whatever_is_in_them(host: Host, tools: Tools, argument: str) -> None:
    """No shell on the way takes them for anything else; here a program tells what it got."""
    tools.program.write_text('#!/bin/sh\nprintf \'%s|\' "$#" "$@"\n')
    output = host.call("rake", argument, "end", timeout=30)

    assert output.stdout.decode() == f"3|rake|{argument}|end|"


@pytest.mark.timing
def test_a_late_command_is_an_error(host: Host, tools: Tools) -> None:
    """Nobody waits longer than was said."""
    tools.script("puppet", "#!/bin/sh\nsleep 5\n")
    begun = time.monotonic()
    with pytest.raises(BackendSilent):
        host.call("list", timeout=1)

    assert time.monotonic() - begun < 4


@pytest.mark.timing
def test_the_helper_says_that_puppet_was_late(host: Host, tools: Tools) -> None:
    """What it killed did not answer, and a wrong setting is no answer either."""
    tools.impatient()
    tools.settings(limit=1)
    tools.script("puppet", "#!/bin/sh\nexec sleep 9\n")
    with pytest.raises(BackendSilent):
        host.call("list", timeout=30)
    tools.settings(limit=0)
    with pytest.raises(BackendRefused, match="settings of espm_tools"):
        host.call("list", timeout=30)


@pytest.mark.timing
def test_a_lock_not_had_can_be_tried_again(host: Host, tools: Tools) -> None:
    """Somebody else works at the CA."""
    tools.impatient()
    tools.settings(limit=1)
    # flock becomes the sleep, so that the lock ends with it; ssh may take long to get there.
    with subprocess.Popen(["flock", "--no-fork", str(tools.ca), "sleep", "60"]) as other:
        time.sleep(0.2)
        with pytest.raises(BackendUnavailable, match="lock"):
            host.call("withdraw", NAME, timeout=30)
        other.kill()


def test_a_helper_that_is_not_there_is_an_error(host: Host, tools: Tools) -> None:
    """It is not taken for an answer of Puppet's."""
    tools.program.unlink()
    with pytest.raises((BackendRefused, BackendUnavailable)):
        host.call("list", timeout=30)


@pytest.mark.slow
def test_all_that_reach_the_same_helper_share_a_connection(server: Sshd, tools: Tools) -> None:
    """The CA, the classifier, the catalogue and each line of espm check name the same host."""
    before = server.connections
    hosts = [connect(tools.options(**server.options())) for _ in range(3)]
    for host in hosts:
        host.call("crl", timeout=30)

    assert server.connections == before + 1


@pytest.mark.slow
def test_one_connection_is_kept(server: Sshd, remote: Host) -> None:
    """sshd is asked for a new one only once."""
    before = server.connections
    for _ in range(5):
        remote.call("certificate", NAME, timeout=30)

    assert server.connections - before == 1


@pytest.mark.slow
@pytest.mark.timing
def test_twenty_calls_at_once_share_it(server: Sshd, remote: Host, tools: Tools) -> None:
    """sshd takes ten sessions on a connection and refuses more; so the rest wait."""
    tools.program.write_text("#!/bin/sh\nsleep 0.05\necho done\n")
    before = server.connections
    outputs: list[bytes] = []

    def call() -> None:
        outputs.append(remote.call("version", timeout=30).stdout)

    threads = [threading.Thread(target=call) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outputs == [b"done\n"] * 20
    assert (server.connections - before, "no more sessions" in server.log) == (1, False)


@pytest.mark.slow
@pytest.mark.timing
def test_a_connection_that_breaks_is_made_anew(server: Sshd, remote: Host, tools: Tools) -> None:
    """The call under way fails, as nobody knows what it did; the next one is fine."""
    tools.program.write_text("#!/bin/sh\nsleep 2\n")
    threading.Timer(0.7, server.sever).start()
    with pytest.raises(BackendUnavailable):
        remote.call("version", timeout=30)
    tools.program.write_text("#!/bin/sh\necho back\n")

    assert remote.call("version", timeout=30).stdout == b"back\n"


@pytest.mark.slow
def test_a_master_that_was_killed_is_started_anew(server: Sshd, remote: Host) -> None:
    """Its socket is still there, and nobody answers."""
    assert isinstance(remote, SshHost)
    remote.call("certificate", NAME, timeout=30)
    subprocess.run([*remote._ssh, "-O", "exit", "127.0.0.1"], check=True, capture_output=True)
    remote._socket.touch()

    assert remote.call("certificate", NAME, timeout=30).status == 66


@pytest.mark.slow
def test_an_unknown_host_is_refused(server: Sshd, tools: Tools, tmp_path: Path) -> None:
    """Another key than the one in the file may be anybody's."""
    other = tmp_path / "known_hosts"
    known = server.root.joinpath("user_key.pub").read_text()
    for text in ("", f"[127.0.0.1]:{server.port} {known}"):
        other.write_text(text)
        host = connect(tools.options(**server.options() | {"ssh_known_hosts": str(other)}))
        with pytest.raises(BackendRefused) as caught:
            host.call("version", timeout=30)
        assert "Host key verification failed" in str(caught.value.__cause__)


@pytest.mark.slow
def test_an_sshd_that_is_away_is_silent(tools: Tools, server: Sshd) -> None:
    """The next call would not get an answer either; it is when it is back."""
    host = connect(tools.options(**server.options()))
    server.stop()
    with pytest.raises(BackendSilent):
        host.call("certificate", NAME, timeout=30)
    scratch_sshd.restart(server)

    assert host.call("certificate", NAME, timeout=30).status == 66


@pytest.mark.slow
def test_nothing_is_left_when_it_is_not_needed_any_more(server: Sshd, tools: Tools) -> None:
    """Neither the master nor its directory."""
    host: Host | None = connect(tools.options(**server.options()))
    assert isinstance(host, SshHost)
    host.call("certificate", NAME, timeout=30)
    directory = host._socket.parent
    there = directory.exists()
    host = None

    assert (there, directory.exists(), host) == (True, False, None)


@pytest.mark.parametrize("key", ["ssh_key", "ssh_known_hosts"])
def test_ssh_needs_its_files(tools: Tools, key: str) -> None:
    """No key of the user's own is used, and no host is taken on trust."""
    options = {"host": "ssh://espm@puppet.example.com", "ssh_key": "/k", "ssh_known_hosts": "/h"}
    with pytest.raises(ConfigError, match=key):
        connect(tools.options(**options | {key: ""}))


def test_what_sudo_says_is_no_answer_of_puppets() -> None:
    """A password that is wanted, say; without sudo the same words are Puppet's."""
    said = Output(1, b"", b"sudo: a password is required\n")
    with pytest.raises(BackendRefused, match="sudo"):
        judged("list", said, sudo=True)

    assert judged("list", said, sudo=False) is said


@pytest.mark.skipif(shutil.which("sudo") is None, reason="there is no sudo here")
def test_the_helper_is_started_by_sudo(tools: Tools) -> None:
    """sudo -n never asks; whether it lets us is the administrator's."""
    host = connect(tools.options(sudo=True))
    with suppress(BackendRefused):
        assert host.call("certificate", NAME, timeout=30).status == 66
