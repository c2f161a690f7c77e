"""The helper that runs the tools of an old Puppet: what it does, and what it refuses."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509 as cx509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from espm import x509
from espm.host import RELEASE
from espm.model import Certname
from tests.api.wire import wait_until
from tests.tools_tree import HELPER, Tools, make_tools, others_can_write, seen

NAME = "web1.example.com"
OTHER = "web2.example.com"

#: A user who is not root, as Puppet's is not, and their group.
NOBODY = (65534, 65534)

SHELLS = [shell for shell in ("/usr/bin/dash", "/bin/bash") if Path(shell).exists()]

REFUSED = [
    "--all", "-a", ".*", "../x", "a/b", "a\nb", "", "x" * 65, "Web1.example.com", "ca", "a b", "é",
    "$(id)", ".a", "a;id", "a,b",
]  # fmt: skip


#: The shell of the system is looked at each time, the other one where there is time.
_SHELLS = [pytest.param(shell, marks=[pytest.mark.slow] * (shell != SHELLS[0])) for shell in SHELLS]


@pytest.fixture(params=_SHELLS)
def tools(request: pytest.FixtureRequest, tmp_path: Path) -> Tools:
    """Return a helper under each shell in turn."""
    return make_tools(tmp_path, request.param)


@pytest.fixture
def one(tmp_path: Path) -> Tools:
    """Return a helper under the shell that the system has."""
    return make_tools(tmp_path)


def csr(name: str = NAME) -> bytes:
    """Return a new CSR."""
    return x509.new_csr(Certname(name), x509.new_key())


def held(tools: Tools, directory: str, name: str = NAME) -> Path:
    """Have a file of *name* in a directory of the CA."""
    path = tools.ca / directory / f"{name}.pem"
    path.write_bytes(csr(name))
    return path


def test_versions_are_that_of_the_helper_and_of_puppet(tools: Tools) -> None:
    """Both are said, the helper's first."""
    done = tools.run("version")

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines()[:2] == [b"espm_tools 1", b"puppet --version"]


def test_programs_get_nothing_of_the_environment(tools: Tools) -> None:
    """Neither variables nor the home of whoever called."""
    done = tools.run("list", env={"name": "leak", "HOME": "/root", "RUBYLIB": "/tmp", "IFS": "e"})
    variables = dict(re.findall(rb"^env (\w+)=(.*)$", done.stdout, re.MULTILINE))

    assert {b"PATH", b"LC_ALL", b"HOME"} == set(variables)
    assert not Path(variables[b"HOME"].decode()).exists()


@pytest.mark.parametrize("verb", ["sign", "revoke", "clean"])
def test_puppet_is_told_names_after_the_options(tools: Tools, verb: str) -> None:
    """All names are in one command, behind the end of options."""
    paths = [held(tools, "requests" if verb == "sign" else "signed", n) for n in (NAME, OTHER)]
    done = tools.run(verb, *(path.stem if verb == "sign" else seen(path) for path in paths))
    confdir = tools.root / "puppet"

    want = f"puppet cert {verb} --color=false --confdir {confdir} -- {NAME} {OTHER}"
    assert (0, want) == (done.returncode, done.stdout.decode().splitlines()[0])


@pytest.mark.parametrize(
    ("verb", "words"),
    [("fingerprint", "fingerprint {} --digest sha256 --"), ("print", "print {} --")],
)
def test_puppet_is_asked_what_it_has_of_a_name(tools: Tools, verb: str, words: str) -> None:
    """Of its own CA as well, which it calls ca."""
    done = [tools.run(verb, name) for name in ("ca", NAME)]

    options = f"--color=false --confdir {tools.root / 'puppet'}"
    assert [each.stdout.decode().splitlines()[0] for each in done] == [
        f"puppet cert {words.format(options)} {name}" for name in ("ca", NAME)
    ]


def test_the_exit_code_is_that_of_the_program(tools: Tools) -> None:
    """So are both outputs."""
    tools.script("puppet", "#!/bin/sh\necho out\necho err >&2\nexit 24\n")
    done = tools.run("list")

    assert (done.returncode, done.stdout, done.stderr) == (24, b"out\n", b"err\n")


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize(
    "verb", ["certificate", "request", "submit", "withdraw", "sign", "revoke", "clean", "generate"]
)
def test_what_is_no_certname_is_refused(one: Tools, verb: str, name: str) -> None:
    """Nothing is started, whatever the verb."""
    marker = one.root / "started"
    one.script("puppet", f"#!/bin/sh\ntouch {marker}\n")
    done = one.run(verb, name, stdin=csr())

    assert (done.returncode, marker.exists()) == (64, False)
    assert done.stderr.startswith(b"espm_tools: ")


@pytest.mark.parametrize("shell", SHELLS)
def test_both_shells_refuse_the_same(tmp_path: Path, shell: str) -> None:
    """A class of characters does not mean more in one of them."""
    tools = make_tools(tmp_path, shell)

    assert {64} == {tools.run("certificate", name).returncode for name in REFUSED}
    assert tools.run("certificate", "x" * 64).returncode == 66


@pytest.mark.parametrize("verb", ["revoke", "clean"])
def test_a_name_without_a_file_is_never_looked_up(tools: Tools, verb: str) -> None:
    """Puppet would take it for a regular expression and end others."""
    path = held(tools, "signed", "dotx.example.com")
    done = tools.run(verb, seen(path), f"dot..example.com:{'0' * 64}")

    assert (done.returncode, done.stdout) == (66, b"")


@pytest.mark.parametrize("verb", ["revoke", "clean"])
def test_a_certificate_that_was_exchanged_is_not_ended(tools: Tools, verb: str) -> None:
    """What was looked at is not what is there any more; nothing is done to those beside it."""
    first, second = (held(tools, "signed", name) for name in (NAME, OTHER))
    words = [seen(first), seen(second)]
    held(tools, "signed", OTHER)
    done = tools.run(verb, *words)

    assert (done.returncode, done.stdout) == (65, b"")
    assert f"{OTHER} has another certificate" in done.stderr.decode()


@pytest.mark.parametrize("verb", ["revoke", "clean"])
def test_what_is_to_be_ended_is_what_certificate_shows(tools: Tools, verb: str) -> None:
    """Its SHA-256, however many empty lines the file has at its end."""
    path = held(tools, "signed")
    for end in (b"", b"\n\n\n"):
        path.write_bytes(csr().rstrip(b"\n") + end)
        digest = sha256(tools.run("certificate", NAME).stdout).hexdigest()
        assert tools.run(verb, f"{NAME}:{digest}").returncode == 0


@pytest.mark.parametrize("words", [NAME, f"{NAME}:", f"{NAME}:{'A' * 64}", f"{NAME}:{'a' * 63}"])
@pytest.mark.parametrize("verb", ["revoke", "clean"])
def test_nothing_is_ended_without_a_look(one: Tools, verb: str, words: str) -> None:
    """A name alone does not say which certificate is meant."""
    held(one, "signed")
    done = one.run(verb, words)

    assert (done.returncode, done.stdout) == (64, b"")


def test_an_openssl_without_sha_256_is_said(tools: Tools) -> None:
    """Where espm check looks, and before anything is ended."""
    text = tools.program.read_text()
    assert "dgst -sha256" in text
    tools.program.write_text(text.replace("dgst -sha256", "dgst -no-such-digest"))
    done = [tools.run("ping", "ca"), tools.run("revoke", seen(held(tools, "signed")))]

    assert [(each.returncode, each.stdout) for each in done] == [(78, b"")] * 2
    assert all(b"openssl" in each.stderr for each in done)


def test_signing_needs_a_csr_of_each_name(tools: Tools) -> None:
    """Puppet would sign the first ones and stop."""
    held(tools, "requests")
    done = tools.run("sign", NAME, OTHER)

    assert (done.returncode, done.stdout) == (66, b"")


def test_a_csr_with_a_second_name_is_not_signed(tools: Tools) -> None:
    """Who reads the certificate may take either."""
    names = [cx509.NameAttribute(NameOID.COMMON_NAME, name) for name in (NAME, OTHER)]
    builder = cx509.CertificateSigningRequestBuilder(cx509.Name(names))
    pem = builder.sign(x509.new_key(), SHA256()).public_bytes(Encoding.PEM)
    tools.ca.joinpath("requests", f"{NAME}.pem").write_bytes(pem)

    assert tools.run("sign", NAME).returncode == 64
    assert tools.run("submit", OTHER, stdin=pem).returncode == 64


def test_a_csr_under_another_name_is_not_signed(tools: Tools) -> None:
    """Puppet 2.7.12 would, and give its name to the certificate."""
    tools.ca.joinpath("requests", f"{NAME}.pem").write_bytes(csr(OTHER))
    done = tools.run("sign", NAME)

    assert (done.returncode, done.stdout) == (64, b"")


@pytest.mark.parametrize(
    "arguments",
    [
        (), ("destroy", NAME), ("certificate",), ("certificate", NAME, NAME), ("sign",),
        ("sign", *[NAME] * 101), ("revoke", *[f"{NAME}:{'a' * 64}"] * 101), ("ping",),
        ("ping", "all"), ("crl", NAME), ("list", "--all"),
        ("rake",), ("rake", "db:drop"), ("rake", "node:add"), ("rake", "node:add", "x=1"),
        ("rake", "node:add", "name=--all"), ("rake", "node:add", f"name={NAME}", "groups=a\nb"),
        ("rake", "tasks", "x"), ("enc", ".*"), ("print", "--all"), ("fingerprint",),
        ("fingerprint", "ca", NAME), ("heal", "XYZ"), ("heal", ""), ("heal", "f" * 41),
    ],
)  # fmt: skip
def test_what_no_verb_takes_is_refused(one: Tools, arguments: tuple[str, ...]) -> None:
    """Verbs, tasks and values are known one by one."""
    done = one.run(*arguments)

    assert (done.returncode, done.stdout) == (64, b"")


def test_files_are_printed(tools: Tools) -> None:
    """Certificates, CSRs, the CRL and the CA's certificate; 66 says that there is none."""
    pem = held(tools, "signed").read_bytes()
    held(tools, "requests").write_bytes(pem)
    tools.ca.joinpath("ca_crl.pem").write_bytes(pem)
    done = [tools.run(*words) for words in (("certificate", NAME), ("request", NAME), ("crl",))]

    assert [pem] * 3 == [each.stdout for each in done]
    tools.ca.joinpath("ca_crt.pem").unlink()
    gone = tools.run("bundle")
    assert (gone.returncode, gone.stdout) == (66, b"")


@pytest.mark.timing
def test_half_a_file_is_read_again_under_the_lock(tools: Tools) -> None:
    """Puppet writes its CRL in place."""
    crl = tools.ca / "ca_crl.pem"
    crl.write_bytes(csr()[:100])
    pem = csr()
    with subprocess.Popen(["flock", str(tools.ca), "sleep", "2"]):
        time.sleep(0.2)
        # Late enough that the first look is over, also where others are at work.
        threading.Timer(1.2, crl.write_bytes, [pem]).start()
        done = tools.run("crl")

    assert pem == done.stdout


@pytest.mark.parametrize("name", ["ca_key.pem", "ca_crl.pem", "serial", "inventory.txt"])
def test_puppet_is_not_started_where_it_would_begin_anew(tools: Tools, name: str) -> None:
    """Serials from 1, an empty CRL, another key: only a backup helps, and the file is named."""
    path = held(tools, "signed")
    held(tools, "requests", OTHER)
    tools.ca.joinpath(name).unlink()
    done = [tools.run(*words) for words in (("revoke", seen(path)), ("sign", OTHER), ("list",))]

    assert [(each.returncode, each.stdout) for each in done] == [(78, b"")] * 3
    assert all(f"{name} is missing" in each.stderr.decode() for each in done)


def test_a_csr_is_handed_in_once(tools: Tools) -> None:
    """It has the mode that Puppet gives it; nothing else is left in the directory."""
    first, second = csr(), csr()
    done = [tools.run("submit", NAME, stdin=pem).returncode for pem in (first, second)]
    path = tools.ca / "requests" / f"{NAME}.pem"

    assert ([0, 73], first) == (done, path.read_bytes())
    assert ([path], 0o644) == (list(path.parent.iterdir()), path.stat().st_mode & 0o777)


def test_many_who_hand_in_at_once_are_told_apart(one: Tools) -> None:
    """One is taken, the others are told that one waits."""
    codes: list[int] = []

    def submit() -> None:
        codes.append(one.run("submit", NAME, stdin=csr()).returncode)

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(codes) == [0] + [73] * 7


def test_a_csr_is_not_taken_beside_a_certificate(tools: Tools) -> None:
    """Nor is one withdrawn: the name is taken."""
    held(tools, "signed")
    done = [tools.run(verb, NAME, stdin=csr()).returncode for verb in ("submit", "withdraw")]

    assert done == [74, 74]


BEGIN = b"-----BEGIN CERTIFICATE REQUEST-----\n"


@pytest.mark.parametrize(
    "stdin",
    [b"", b"no CSR", b"x" * 70_000, BEGIN + b"A" * 70_000, csr(OTHER)],
    ids=["empty", "text", "large", "large-pem", "another-name"],
)
def test_what_is_no_csr_of_the_name_is_not_taken(tools: Tools, stdin: bytes) -> None:
    """What stdin may hold is bounded, and looked at."""
    done = tools.run("submit", NAME, stdin=stdin)

    assert (done.returncode, list(tools.ca.joinpath("requests").iterdir())) == (64, [])


def test_a_csr_is_withdrawn(tools: Tools) -> None:
    """Also a second time, and with none there."""
    held(tools, "requests")

    assert [tools.run("withdraw", NAME).returncode for _ in range(2)] == [0, 0]
    assert list(tools.ca.joinpath("requests").iterdir()) == []


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("limit = 59", "less than 60"),
        ("limit = soon", "not a number"),
        ("puppet = bin/puppet", "not an absolute path"),
        ("rake_user = a b", "not a user"),
        ("colour = blue", "no setting colour"),
        ("puppet", "not a line"),
        ("confdir =", "not an absolute path"),
    ],
)
def test_wrong_settings_are_refused(tools: Tools, line: str, what: str) -> None:
    """The message says what is wrong with which file."""
    conf = tools.root / "espm_tools.conf"
    conf.write_text(conf.read_text() + line)
    done = tools.run("version")

    assert (done.returncode, done.stdout) == (78, b"")
    assert what in done.stderr.decode()
    assert str(conf) in done.stderr.decode()


def test_settings_that_others_can_change_are_refused(tools: Tools) -> None:
    """Whoever changes them says what root starts."""
    conf = tools.root / "espm_tools.conf"
    others_can_write(conf)
    writable = tools.run("version")
    conf.unlink()
    missing = tools.run("version")

    assert [writable.returncode, missing.returncode] == [78, 78]
    assert b"chmod go-w" in writable.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_settings_of_another_user_are_refused(tools: Tools) -> None:
    """Only root's, or those of whoever runs it."""
    os.chown(tools.root / "espm_tools.conf", 65534, 65534)

    assert tools.run("version").returncode == 78


def test_settings_are_no_shell(tools: Tools) -> None:
    """They are words, whatever they look like."""
    marker = tools.root / "marker"
    tools.settings(after_revoke=f"/bin/echo $(touch {marker}) * `id`")
    done = tools.run("after")

    assert f"$(touch {marker}) * `id`\n".encode() == done.stdout
    assert not marker.exists()


@pytest.mark.timing
def test_a_late_program_is_killed_with_all_that_it_started(tools: Tools) -> None:
    """Its exit code is 124, and the lock is free again."""
    tools.impatient()
    tools.settings(limit=1)
    pid = tools.root / "pid"
    tools.script("puppet", f"#!/bin/sh\n(trap '' TERM; sleep 60) &\necho $! > {pid}\nwait\n")
    held(tools, "requests")
    begun = time.monotonic()
    done = tools.run("sign", NAME)

    assert (done.returncode, time.monotonic() - begun < 10) == (124, True)
    assert _dies(pid)
    tools.script("puppet", "#!/bin/sh\n")
    assert tools.run("sign", NAME).returncode == 0


def _dies(pid: Path) -> bool:
    """Return whether the process is gone, or only not waited for yet."""
    stat = Path("/proc", pid.read_text().strip(), "stat")
    for _ in range(100):
        with suppress(FileNotFoundError):
            if stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        if not stat.exists():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.timing
def test_two_writers_take_turns(tools: Tools) -> None:
    """Puppet loses revocations that are ordered side by side."""
    log = tools.root / "log"
    tools.script("puppet", f"#!/bin/sh\necho begin >> {log}\nsleep 0.2\necho end >> {log}\n")
    words = ("revoke", seen(held(tools, "signed")))
    threads = [threading.Thread(target=tools.run, args=words) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert log.read_text().split() == ["begin", "end"] * 3


@pytest.mark.timing
def test_a_lock_that_is_not_had_in_time_is_said(tools: Tools) -> None:
    """The exit code is 75, and nothing was started."""
    tools.impatient()
    tools.settings(limit=1)
    path = held(tools, "signed")
    with subprocess.Popen(["flock", str(tools.ca), "sleep", "2"]) as other:
        time.sleep(0.2)
        done = tools.run("revoke", seen(path))
        other.kill()

    assert (done.returncode, done.stdout) == (75, b"")


@pytest.mark.timing
def test_the_lock_is_held_until_the_program_ends(tools: Tools) -> None:
    """Also when the helper is killed: nobody may write beside a Puppet that goes on."""
    tools.script("puppet", "#!/bin/sh\nsleep 1\n")
    argv = [tools.shell, str(tools.program), "revoke", seen(held(tools, "signed"))]
    with subprocess.Popen(argv) as helper:
        time.sleep(0.4)
        helper.kill()
    taken = subprocess.run(["flock", "-n", str(tools.ca), "true"], check=False).returncode
    later = subprocess.run(["flock", "-w", "3", str(tools.ca), "true"], check=False).returncode

    assert (taken, later) == (1, 0)


@pytest.mark.timing
def test_what_after_revoke_leaves_running_keeps_no_lock(tools: Tools) -> None:
    """It restarts a daemon, which would hold it for ever; nor is anybody kept waiting for it."""
    tools.script("service", "#!/bin/sh\nsleep 3 &\necho $1 $2\n")
    tools.settings(after_revoke=f"{tools.root}/bin/service pe-httpd restart")
    begun = time.monotonic()
    done = tools.run("after")
    free = subprocess.run(["flock", "-n", str(tools.ca), "true"], check=False).returncode

    assert (done.returncode, done.stdout, free) == (0, b"pe-httpd restart\n", 0)
    assert time.monotonic() - begun < 2


def test_without_after_revoke_nothing_is_run(tools: Tools) -> None:
    """An administrator need not have any."""
    done = tools.run("after")

    assert (done.returncode, done.stdout) == (0, b"")


def test_a_stale_serial_tmp_is_removed(tools: Tools) -> None:
    """A Puppet that was killed left it, and every signature would fail; a young one is in use."""
    left = tools.ca / "serial.tmp"
    left.touch()
    held(tools, "requests")
    tools.run("sign", NAME)
    young = left.exists()
    os.utime(left, (time.time() - 120,) * 2)
    done = tools.run("sign", NAME)

    assert (young, left.exists()) == (True, False)
    assert b"removed a stale" in done.stderr


@pytest.mark.timing
def test_a_caller_who_goes_away_stops_nothing(tools: Tools) -> None:
    """Puppet is not stopped halfway because nobody reads what it says."""
    marker = tools.root / "marker"
    tools.script("puppet", f"#!/bin/sh\nsleep 0.5\necho said || exit\necho more\ntouch {marker}\n")
    argv = [tools.shell, str(tools.program), "revoke", seen(held(tools, "signed"))]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as helper:
        time.sleep(0.2)
        for pipe in (helper.stdout, helper.stderr):
            assert pipe is not None
            pipe.close()
        helper.terminate()
        helper.wait(timeout=10)

    assert marker.exists()


@pytest.mark.timing
def test_what_a_killed_helper_leaves_goes_after_the_limit(tools: Tools) -> None:
    """The program is ended and its home removed by what watches over it."""
    tools.impatient()
    tools.settings(limit=1)
    note = tools.root / "home"
    tools.script("puppet", f"#!/bin/sh\necho $HOME > {note}\nexec sleep 30\n")
    with subprocess.Popen([tools.shell, str(tools.program), "list"]) as helper:
        assert wait_until(lambda: note.exists() and note.read_text().endswith("\n"), 15)
        helper.kill()
    scratch = Path(note.read_text().strip()).parent
    there = scratch.exists()
    assert wait_until(lambda: not scratch.exists(), 15)

    assert there


def test_nothing_is_left_in_tmp(tools: Tools) -> None:
    """Neither the home of programs nor what they wrote."""
    tools.script("puppet", "#!/bin/sh\necho $HOME\n")
    home = Path(tools.run("list").stdout.decode().strip())

    assert "espm_tools." in str(home)
    assert not home.parent.exists()


def ca_files(tools: Tools) -> tuple[str, bytes]:
    """Make a CA's certificate; return a serial and a certificate of it."""
    ca = pytest.importorskip("trustme").CA()
    tools.ca.joinpath("ca_crt.pem").write_bytes(ca.cert_pem.bytes())
    pem: bytes = ca.issue_cert(NAME).cert_chain_pems[0].bytes()
    return f"{cx509.load_pem_x509_certificate(pem).serial_number:x}", pem


def test_a_lost_certificate_is_revoked_under_a_name_of_its_own(tools: Tools) -> None:
    """It is there for Puppet to read, and gone afterwards, as is what another one left."""
    serial, pem = ca_files(tools)
    tools.script("puppet", f"#!/bin/sh\necho $*\nls {tools.ca}/signed\n")
    tools.ca.joinpath("signed", "espm-heal-ff.pem").touch()
    done = tools.run("heal", serial, stdin=pem)

    healed = f"espm-heal-{serial}"
    assert done.stdout.decode().endswith(f"-- {healed}\n{healed}.pem\n")
    assert list(tools.ca.joinpath("signed").iterdir()) == []


def test_what_is_not_that_certificate_is_not_healed(tools: Tools) -> None:
    """Another serial, another CA's, and the CA's own are refused."""
    serial, pem = ca_files(tools)
    own = tools.ca.joinpath("ca_crt.pem").read_bytes()
    ca = cx509.load_pem_x509_certificate(own)
    _, other = ca_files(make_tools(tools.root / "other"))

    assert tools.run("heal", "abc", stdin=pem).returncode == 64
    assert tools.run("heal", serial, stdin=other).returncode == 64
    assert tools.run("heal", f"{ca.serial_number:x}", stdin=own).returncode == 64
    assert ca.public_bytes(Encoding.PEM) == own


def test_a_key_is_used_and_nowhere_afterwards(tools: Tools) -> None:
    """Puppet finds it as one that was left over; all copies go, whatever Puppet says."""
    ssl = tools.ca.parent
    copies = [ssl / name / f"{NAME}.pem" for name in ("private_keys", "public_keys", "certs")]
    script = f"#!/bin/sh\ncat {copies[0]}\ntouch {copies[1]} {copies[2]}\nexit 3\n"
    tools.script("puppet", script)
    key = x509.key_pem(x509.new_key())
    done = tools.run("generate", NAME, stdin=key)

    assert (3, key) == (done.returncode, done.stdout)
    assert [path for copy in copies for path in copy.parent.iterdir()] == []


@pytest.mark.timing
def test_a_key_goes_also_when_puppet_is_late(tools: Tools) -> None:
    """It is killed, and no file has the key any more."""
    tools.impatient()
    tools.settings(limit=1)
    tools.script("puppet", "#!/bin/sh\nexec sleep 30\n")
    done = tools.run("generate", NAME, stdin=x509.key_pem(x509.new_key()))

    assert done.returncode == 124
    assert list(tools.ca.parent.joinpath("private_keys").iterdir()) == []


def test_a_command_that_is_not_there_is_a_wrong_setting(tools: Tools) -> None:
    """The words of after_revoke are looked for where the system has its programs."""
    tools.settings(after_revoke="no-such-service pe-httpd restart")
    done = tools.run("after")

    assert done.returncode == 78
    assert "no-such-service could not be started" in done.stderr.decode()


def test_a_key_of_somebody_else_stays(tools: Tools) -> None:
    """Only what we noted as ours is replaced."""
    key = x509.key_pem(x509.new_key())
    path = tools.ca.parent / "private_keys" / f"{NAME}.pem"
    path.write_text("of another")
    done = tools.run("generate", NAME, stdin=key)

    assert (done.returncode, path.read_text()) == (74, "of another")


def test_a_key_that_a_killed_helper_left_is_replaced(tools: Tools) -> None:
    """Its note is beside it; withdrawing the CSR removes both."""
    keys = tools.ca.parent / "private_keys"
    for _ in range(2):
        keys.joinpath(f"{NAME}.pem").write_text("ours")
        keys.joinpath(f".espm-{NAME}").touch()
        done = tools.run("generate", NAME, stdin=x509.key_pem(x509.new_key()))
        assert (done.returncode, list(keys.iterdir())) == (0, [])
    keys.joinpath(f"{NAME}.pem").write_text("ours")
    keys.joinpath(f".espm-{NAME}").touch()
    tools.run("withdraw", NAME)

    assert list(keys.iterdir()) == []


@pytest.mark.parametrize("state", ["requests", "signed", "certs"])
def test_nothing_is_generated_where_there_is_something(tools: Tools, state: str) -> None:
    """The name is taken, or a CSR waits."""
    (tools.ca.parent if state == "certs" else tools.ca).joinpath(state, f"{NAME}.pem").touch()
    done = tools.run("generate", NAME, stdin=x509.key_pem(x509.new_key()))

    assert (73 if state == "requests" else 74) == done.returncode
    assert list(tools.ca.parent.joinpath("private_keys").iterdir()) == []


def test_rake_is_told_a_task_and_values(tools: Tools) -> None:
    """Each value is one word, spaces and all."""
    done = tools.run("rake", "node:groups", f"name={NAME}", "groups=web servers,db")
    tasks = tools.run("rake", "tasks")

    file = f"rake {tools.root}/Rakefile"
    want = ["rake -f", file, "rake -s", "rake node:groups", f"rake name={NAME}"]
    assert [*want, "rake groups=web servers,db", "rake RAILS_ENV=production"] == (
        done.stdout.decode().splitlines()
    )
    assert tasks.stdout.decode().splitlines()[3:] == ["rake -T", "rake node:"]


@pytest.mark.timing
def test_rake_runs_one_at_a_time(tools: Tools) -> None:
    """The lock is that of the Rakefile."""
    log = tools.root / "log"
    tools.script("rake", f"#!/bin/sh\necho begin >> {log}\nsleep 0.2\necho end >> {log}\n")
    threads = [threading.Thread(target=tools.run, args=("rake", "node:list")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert log.read_text().split() == ["begin", "end"] * 3


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_rake_runs_as_the_user_of_the_dashboard(tools: Tools) -> None:
    """It has a home that it can write."""
    tools.settings(rake_user="nobody")
    for path in (tools.root, *tools.root.parents):
        if path.stat().st_uid == os.getuid() and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o055)
    tools.script("rake", '#!/bin/sh\nid -un\ntouch "$HOME/file" && echo written\n')
    done = tools.run("rake", "node:list")

    assert done.stdout.decode().split() == ["nobody", "written"]


@pytest.fixture(params=["setpriv", "su"])
def puppets(request: pytest.FixtureRequest, tmp_path: Path) -> Tools:
    """Return a helper that root runs, whose CA is Puppet's user's, where setpriv is and is not."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    tools = make_tools(tmp_path)
    if request.param == "su":
        text = tools.program.read_text()
        tools.program.write_text(text.replace("command -v setpriv >/dev/null", "false"))
    for path in (tools.root, *tools.root.parents):
        if path.stat().st_uid == os.getuid() and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o055)
    tree = tools.root / "puppet"
    for path in (tree, *tree.rglob("*")):
        os.chown(path, *NOBODY)
    return tools


def test_what_root_puts_into_puppets_directories_is_puppets(puppets: Tools) -> None:
    """As if Puppet had written it, and done by that user: root would follow that one's links."""
    requests = puppets.ca / "requests"
    assert puppets.run("submit", NAME, stdin=csr()).returncode == 0
    (path,) = requests.iterdir()
    status = path.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (*NOBODY, 0o644)

    requests.chmod(0o555)
    done = puppets.run("submit", OTHER, stdin=csr(OTHER))
    assert done.returncode == 78
    assert "cannot write into" in done.stderr.decode()
    assert list(requests.iterdir()) == [path]


def test_root_shows_nothing_that_puppets_user_could_not_read(puppets: Tools) -> None:
    """A link that leads to root's own files leads nowhere."""
    secret = puppets.root / "secret"
    secret.write_text("-----BEGIN X-----\nroot's\n-----END X-----\n")
    secret.chmod(0o600)
    (puppets.ca / "signed" / f"{NAME}.pem").symlink_to(secret)
    done = puppets.run("certificate", NAME)

    assert (done.returncode, done.stdout) == (66, b"")


def test_root_makes_nothing_where_puppets_user_may_not(puppets: Tools) -> None:
    """A note of a key that is a link into a directory of root's is not followed."""
    place = puppets.root / "roots"
    place.mkdir(mode=0o755)
    keys = puppets.ca.parent / "private_keys"
    (keys / f".espm-{NAME}").symlink_to(place / "made")
    done = puppets.run("generate", NAME, stdin=x509.key_pem(x509.new_key()))

    assert done.returncode == 78
    assert list(place.iterdir()) == []


def test_the_enc_is_asked_for_one_name(tools: Tools) -> None:
    """Where there is one."""
    without = tools.run("enc", NAME).returncode
    tools.settings(external_node=tools.script("external_node", "#!/bin/sh\necho $# $1\n"))

    assert (66, f"1 {NAME}\n".encode()) == (without, tools.run("enc", NAME).stdout)


def test_ping_looks_at_files_and_programs(tools: Tools) -> None:
    """It starts nothing, and names what is missing."""
    there = [tools.run("ping", what).returncode for what in ("ca", "dashboard")]
    tools.root.joinpath("Rakefile").unlink()
    tools.ca.joinpath("ca_crl.pem").unlink()
    gone = [tools.run("ping", what) for what in ("ca", "dashboard")]

    assert (there, [each.returncode for each in gone]) == ([0, 0], [78, 78])
    assert [re.findall(rb"/([^/ ]+) is missing", each.stderr)[0] for each in gone] == [
        b"ca_crl.pem",
        b"Rakefile",
    ]


def test_the_settings_of_puppet_can_be_asked_for(tools: Tools) -> None:
    """As Puppet itself says them."""
    done = tools.run("settings")

    want = (
        f"puppet master --confdir {tools.root}/puppet --configprint confdir,ssldir,cadir,certname"
    )
    assert want == done.stdout.decode().splitlines()[0]


def test_what_the_helper_goes_by_itself_is_said_as_well(tools: Tools) -> None:
    """So that it can be compared; whatever Puppet says."""
    tools.settings(after_revoke="/bin/true now")
    lines = tools.run("settings").stdout.decode().splitlines()

    assert lines[-3:] == [
        f"tools.ssldir = {tools.root}/puppet/ssl",
        "tools.after_revoke = /bin/true now",
        "tools.external_node = ",
    ]


def test_its_release_is_the_one_that_espm_expects() -> None:
    """`espm check` says when another one is installed."""
    assert f"\nrelease={RELEASE}\n" in HELPER.read_text()


def test_the_example_of_the_settings_names_each_of_them() -> None:
    """Those that the helper takes, with the defaults that it has."""
    example = HELPER.with_name("espm_tools.conf.example").read_text()
    shown = dict(re.findall(r"^#(\w+) =(.*)$", example, re.MULTILINE))
    text = HELPER.read_text()
    block = text[text.index("settings_of() {") : text.index("[ -f")]
    known = dict(re.findall(r"(\w+)=(\S*)", block))

    assert {key: value.strip() for key, value in shown.items()} == known
