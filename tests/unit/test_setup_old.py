"""Setting espm up beside a Puppet up to version 5: what is found, made, printed and taken back."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from configobj import ConfigObj
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from espm_setup import install, old_puppet, options, sudoers, tools
from espm_setup.__main__ import main
from espm_setup.errors import NotPermitted, SetupError
from espm_setup.old_puppet import Package
from tests.conftest import absent
from tests.unit.test_setup_hookup import PUPPET as PUPPET_OF_TODAY
from tests.unit.test_setup_hookup import Machine, prepared

#: A program that knows what the setup asks it, in the way of its version.
PUPPET = """\
#!/bin/sh
case "$*" in
    --version) echo "{version}" ;;
    {question}*"--confdir {confdir}"*)
        echo "ssldir = {confdir}/ssl"
        echo "certname = master.example.com"
        echo "server = puppet" ;;
    *) echo "unknown: $*" >&2; exit 1 ;;
esac
"""
ASKED = {
    "2.7.12 (Puppet Enterprise 2.5.0)": "'master --configprint ssldir,certname'",
    "3.8.7": "'config print ssldir certname'*'--section master'",
    "5.5.22": "'config print ssldir certname'*'--section master'",
}


@dataclass(frozen=True)
class Old:
    """A machine with an old Puppet and its dashboard, and what is set up there."""

    root: Path

    @property
    def helper(self) -> Path:
        """Where the helper goes."""
        return self.root / "libexec/espm_tools"

    @property
    def ini(self) -> ConfigObj:
        """The configuration."""
        return ConfigObj(str(self.root / "espm/etc/espm.ini"))

    def puppet(self, version: str) -> None:
        """Have Puppet be of *version*."""
        question = ASKED.get(version, "none")
        text = PUPPET.format(version=version, question=question, confdir=self.root / "puppet")
        self.script("bin/puppet", text)

    def script(self, name: str, text: str = "#!/bin/sh\n") -> None:
        """Write a program."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def words(self, *more: str, sudo: str = "--no-sudo") -> list[str]:
        """Return the words of a command line that names everything."""
        etc, bin_ = self.root / "espm/etc", self.root / "bin"
        places = ["-d", str(etc), "-c", str(etc / "certs"), "--create"]
        programs = ["--puppet", str(bin_ / "puppet"), "--confdir", str(self.root / "puppet")]
        dashboard = ["--rake", str(bin_ / "rake"), "--rakefile", str(self.root / "Rakefile")]
        backends = ["--ca", "puppet_cert", "--classifier", "dashboard"]
        helper = ["--tools", str(self.helper), *([sudo] if sudo else [])]
        user = ["--user", "root"] if os.geteuid() == 0 else []
        quick = ["--key-type", "ec"]
        return [*places, *programs, *dashboard, *backends, *helper, *user, *quick, *more]

    def setup(self, *more: str, sudo: str = "--no-sudo") -> int:
        """Run espm_setup."""
        return main(self.words(*more, sudo=sudo))

    def files(self) -> set[str]:
        """Return what was made."""
        made = (self.root / "espm", self.helper.parent)
        found = (path for place in made for path in place.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)) for path in found}


@pytest.fixture
def old(tmp_path: Path) -> Old:
    """Return a machine with Puppet 2.7.12 and a dashboard."""
    made = Old(tmp_path)
    made.puppet("2.7.12 (Puppet Enterprise 2.5.0)")
    made.script("bin/rake")
    made.script("Rakefile", "")
    (tmp_path / "puppet").mkdir()
    return made


@pytest.fixture
def sudo_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have sudo's files in scratch."""
    place = tmp_path / "sudoers.d/espm"
    place.parent.mkdir()
    monkeypatch.setattr(sudoers, "PLACE", place)
    return place


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root installs for another user")


@pytest.fixture
def five(tmp_path: Path) -> Machine:
    """A machine with Puppet 5.5 and Puppet Server, whose settings are in the section master."""
    made = prepared(tmp_path)
    made.puppet_conf.write_text("[main]\n[master]\n  # mine\n")
    asked = PUPPET_OF_TODAY.replace("{root}", str(tmp_path)).replace("serverport", "masterport")
    version = '[ "$1" != --version ] || { echo 5.5.22; exit; }\n'
    section = 'case "$*" in *"--section master"*) ;; *) exit 1 ;; esac\n'
    made.script("puppet", asked.replace('# "puppet', f'{version}{section}# "puppet'))
    return made


def of_five(machine: Machine, *more: str) -> list[str]:
    """Return the words that set up an espm there."""
    helper = str(machine.root / "libexec/espm_tools")
    user = ["--user", "root"] if os.geteuid() == 0 else []
    quick = ["--key-type", "ec"]
    return ["--ca", "puppet_cert", "--no-sudo", "--tools", helper, *user, *quick, *more]


def test_puppet_server_5_is_connected_as_today_and_has_the_helper_too(five: Machine) -> None:
    """The ENC is espm's own, in the section master; the CA is that of puppet cert."""
    before = five.content()
    assert five.setup("--create", *of_five(five, "--apply")) == 0
    ini = ConfigObj(str(five.root / "espm/etc/espm.ini"))

    assert (ini["ca"]["backend"], ini["classifier"]["backend"]) == ("puppet_cert", "builtin")
    assert ini["puppet_cert"]["tools"] == str(five.root / "libexec/espm_tools")
    assert ini["puppet"]["url"] == "https://puppet.example.com:8140"
    said = five.puppet_conf.read_text().partition("[master]")[2]
    assert "node_terminus = exec" in said
    assert "[server]" not in said
    assert b"environment classes" in five.content()[1]
    assert five.setup("--unapply", *of_five(five)) == 0
    assert five.content() == before


def test_its_certificate_is_signed_by_puppet_cert(five: Machine) -> None:
    """Options first, and the name behind their end."""
    words = ["--puppet", str(five.root / "puppet"), "--confdir", str(five.root), *of_five(five)]
    args = options.parse(words)
    found = install.discover(args)

    assert found
    assert install.signer_of(args, found).command("espm.example.com") == [
        *(str(five.root / "puppet"), "cert", "sign", "--color=false"),
        *("--confdir", str(five.root), "--", "espm.example.com"),
    ]


def settings(path: Path) -> dict[str, str]:
    """Return what a settings file of the helper says."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return dict(line.split(" = ", 1) for line in lines)


@pytest.mark.parametrize("version", ASKED)
def test_the_programs_own_answer_says_where_its_ca_is(version: str, old: Old) -> None:
    """Each version is asked in its own way."""
    old.puppet(version)

    assert old.setup() == 0
    assert settings(Path(f"{old.helper}.conf")) == {
        "puppet": str(old.root / "bin/puppet"),
        "confdir": str(old.root / "puppet"),
        "ssldir": str(old.root / "puppet/ssl"),
        "rake": str(old.root / "bin/rake"),
        "rakefile": str(old.root / "Rakefile"),
    }


def test_the_configuration_names_both_backends_and_nothing_that_nobody_needs(old: Old) -> None:
    """Without Puppet Server there is no URL, no certificate and no groups file."""
    assert old.setup("--native-generate") == 0
    ini = old.ini

    place = {"host": "local", "tools": str(old.helper), "sudo": "no"}
    assert ini["ca"] == {"backend": "puppet_cert", "key_type": "ec"}
    assert ini["puppet_cert"] == {**place, "native_generate": "yes"}
    assert (ini["classifier"], ini["dashboard"]) == ({"backend": "dashboard"}, place)
    assert ini["puppet"] == {"reserved": ["master.example.com", "puppet"]}
    assert ini["server"]["threads"] == "128"


def test_keys_are_rsa_unless_it_is_said() -> None:
    """Agents of old may not know anything else."""
    words = ["--ca", "puppet_cert"]

    assert options.parse(words).key_type == "rsa"
    assert options.parse([*words, "--key-type", "ec"]).key_type == "ec"


def test_the_keys_of_nodes_are_what_suits_the_ca_unless_it_is_said() -> None:
    """The configuration leaves it to the backend, which makes smaller ones for old agents."""
    words = ["--ca", "puppet_cert", "--classifier", "dashboard"]

    assert options.parse(words).node_keys == "auto"
    assert options.parse([*words, "--key-type", "rsa"]).node_keys == "rsa"


def test_it_makes_these_files_and_no_others(old: Old) -> None:
    """The helper is there with its settings; nothing of Puppet's is touched."""
    assert old.setup() == 0

    etc = {"espm.ini", "certs/espm.pem", "certs/espm.key"}
    assert old.files() == {
        *(f"espm/etc/{name}" for name in etc),
        *("espm/var/ledger.db", "espm/var/ledger.db.lock"),
        *("libexec/espm_tools", "libexec/espm_tools.conf"),
    }
    assert list((old.root / "puppet").iterdir()) == []


def test_the_helper_is_ours_and_nobody_elses_to_write(old: Old) -> None:
    """It can be run, its settings be read, and both be written by their owner only."""
    assert old.setup() == 0
    modes = [stat.S_IMODE(Path(f"{old.helper}{end}").stat().st_mode) for end in ("", ".conf")]

    assert old.helper.read_bytes() == tools.source().read_bytes()
    assert modes == [0o755, 0o644]
    assert old.helper.stat().st_uid == os.geteuid()


def test_options_come_before_what_packages_have(old: Old) -> None:
    """A command after revocations, the ENC and the tasks' user go into the settings."""
    enc = str(old.root / "external_node")
    more = ["--after-revoke", "service httpd restart", "--rake-user", "dash"]

    assert old.setup(*more, "--external-node", enc) == 0
    said = settings(Path(f"{old.helper}.conf"))
    assert (said["after_revoke"], said["rake_user"]) == ("service httpd restart", "dash")
    assert said["external_node"] == enc


def test_packages_are_found_by_their_places(old: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puppet Enterprise 2.x, say; what is not there is left out, as is a user who is unknown."""
    package = Package(
        puppet=str(old.root / "bin/puppet"),
        confdir=str(old.root / "puppet"),
        rake=str(old.root / "bin/rake"),
        rakefile=str(old.root / "Rakefile"),
        rake_user="no-such-user",
        external_node=str(old.root / "none"),
        after_revoke="service pe-httpd restart",
    )
    monkeypatch.setattr(old_puppet, "PACKAGES", (Package(puppet="/none"), package))
    words = ["--ca", "puppet_cert", "--classifier", "dashboard"]
    found = old_puppet.find(options.parse(words))

    assert found.version == "2.7.12"
    assert (found.places.rake, found.places.external_node) == (package.rake, "")
    assert (found.places.rake_user, found.places.after_revoke) == ("", package.after_revoke)


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("7.9.0", "is Puppet 7.9.0, which has no 'puppet cert': use --ca http_api"),
        ("none", "does not say which version of Puppet it is"),
        ("2.7.20", "does not say where its ssldir is"),
    ],
)
def test_another_puppet_is_refused(
    version: str, why: str, old: Old, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says why, and nothing was made."""
    old.puppet(version)

    assert old.setup() == 1
    assert why in capsys.readouterr().err
    assert old.files() == set()


def test_without_puppet_it_says_what_to_name(old: Old, capsys: pytest.CaptureFixture[str]) -> None:
    """A program that is not there is not guessed at."""
    assert old.setup("--puppet", "/none") == 1
    assert "name the program with --puppet" in capsys.readouterr().err


def test_without_the_dashboard_it_says_what_to_name(
    old: Old, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that is missing is named at once."""
    words = old.words()
    at = words.index("--rake")

    assert main([*words[:at], *words[at + 4 :]]) == 1
    assert "name it with --rake, --rakefile" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--ca", "http_api", "--classifier", "dashboard"],
        ["--rake", "/usr/bin/rake"],
        ["--tools-host", "ssh://espm@old.example.com"],
        ["--ca", "puppet_cert", "--external-node", "/none"],
        ["--ca", "puppet_cert", "--tools-host", "old.example.com"],
        ["--ca", "puppet_cert", "--tools-host", "ssh://espm@old.example.com:99999"],
        ["--ca", "puppet_cert", "--tools", "libexec/espm_tools"],
        ["--ca", "puppet_cert", "--after-revoke", "sh -c 'id'"],
        ["--ca", "puppet_cert", "--classifier", "dashboard", "--rake-user", "a b"],
    ],
)
def test_options_that_do_not_fit_are_wrong_usage(words: list[str]) -> None:
    """Nobody finds out later that an option did nothing."""
    with pytest.raises(SystemExit) as caught:
        main(words)

    assert caught.value.code == 2


@pytest.mark.parametrize("name", ["libexec/espm_tools", "libexec/espm_tools.conf"])
def test_a_helper_that_is_there_is_not_overwritten(
    name: str, old: Old, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be another espm's; nothing else is made either."""
    old.script(name, "mine")

    assert old.setup() == 73
    assert f"refusing to overwrite what exists: {old.root / name};" in capsys.readouterr().err
    assert old.files() == {name}


def test_a_failure_in_the_middle_leaves_nothing_behind(
    old: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Helper, settings and their directory go again."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(install, "_ledger", fail)

    assert old.setup() == 1
    assert old.files() == set()
    assert not old.helper.parent.exists()


def test_what_others_may_write_root_does_not_run(
    old: Old, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever could exchange the helper would be root; the directory is named."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    old.helper.parent.mkdir()
    old.helper.parent.chmod(0o777)
    args = options.parse(old.words(sudo=""))

    with pytest.raises(NotPermitted, match=f"others than root may write {old.root}"):
        tools.check(tools.make(args), old.root)
    assert capsys.readouterr().err == ""


def test_who_is_not_root_is_told_what_root_does(old: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    """The helper is written beside the configuration, with the commands that install it."""
    words = old.words(sudo="")
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    made = tools.make(options.parse(words))
    etc = old.root / "espm/etc"

    assert made.written == (etc / "espm_tools", etc / "espm_tools.conf")
    assert tools.commands(made) == [
        f"install -d -o root -g root -m 0755 {old.helper.parent}",
        f"install -o root -g root -m 0755 {etc}/espm_tools {old.helper}",
        f"install -o root -g root -m 0644 {etc}/espm_tools.conf {old.helper}.conf",
    ]


def test_another_host_gets_commands_a_key_and_the_lines_of_sudo(
    old: Old, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything to be done there is printed; the key that logs in is made and kept from others."""
    there = "ssh://door@old.example.com:2222"

    assert old.setup("--tools-host", there, sudo="") == 0
    said = capsys.readouterr().out
    certs = old.root / "espm/etc/certs"
    assert f"install -o root -g root -m 0755 espm_tools {old.helper}" in said
    assert f"door ALL=(root) NOPASSWD: {old.helper}" in said
    assert f"ssh-keyscan -p 2222 -t rsa old.example.com >> {certs}/known_hosts" in said
    assert f"append {certs}/espm_ssh.pub to ~door/.ssh/authorized_keys" in said
    assert not (certs / "espm_ssh").stat().st_mode & 0o077
    assert load_ssh_private_key((certs / "espm_ssh").read_bytes(), None)
    assert old.ini["puppet_cert"] == {
        "host": there,
        "tools": str(old.helper),
        "sudo": "yes",
        "ssh_key": str(certs / "espm_ssh"),
        "ssh_known_hosts": str(certs / "known_hosts"),
    }
    assert old.ini["puppet"] == {"reserved": ["old.example.com"]}


def test_another_host_has_puppet_enterprise_unless_it_is_said(old: Old) -> None:
    """The settings beside the configuration are those of PE 2.x, with what the options name."""
    words = ["--tools-host", "ssh://root@old.example.com", "--rake-user", "dash"]
    args = options.parse(["--ca", "puppet_cert", "--classifier", "dashboard", *words])
    made = tools.make(args)

    assert "ssldir = /etc/puppetlabs/puppet/ssl\n" in made.settings
    assert "after_revoke = service pe-httpd restart\n" in made.settings
    assert "rake_user = dash\n" in made.settings
    assert not made.sudo
    assert old.files() == set()


def test_json_has_it_all_in_one_object(old: Old, capsys: pytest.CaptureFixture[str]) -> None:
    """A program finds what is left to do."""
    assert old.setup("--tools-host", "ssh://door@old.example.com", "--json", sudo="") == 0
    said = json.loads(capsys.readouterr().out)

    assert said["certname"] is None
    assert said["tools"]["host"] == "ssh://door@old.example.com"
    assert len(said["tools"]["commands"]) == 3
    assert said["tools"]["sudoers"][-1] == f"door ALL=(root) NOPASSWD: {old.helper}"


def test_without_sudo_apply_has_nothing_to_do(
    old: Old, sudo_files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor has --unapply."""
    assert old.setup() == 0
    assert old.setup("--apply") == old.setup("--unapply") == 0
    assert capsys.readouterr().out.count("nothing of sudo is to be changed") == 2
    assert not sudo_files.exists()


def test_no_certificate_is_fetched(old: Old, capsys: pytest.CaptureFixture[str]) -> None:
    """espm does not call Puppet here."""
    assert old.setup() == old.setup("--fetch-certificate") == 0
    assert "needs no certificate at Puppet" in capsys.readouterr().out


def test_sudo_understands_the_lines(tmp_path: Path) -> None:
    """They and the example of the repository are what visudo takes; the example is what is made."""
    visudo = shutil.which("visudo", path="/usr/sbin:/usr/bin") or absent("visudo is not here")
    example = Path(__file__).parents[2] / "etc/sudoers.d/espm"
    file = tmp_path / "espm"
    file.write_text(sudoers.text("espm", Path("/opt/espm/libexec/espm_tools")))
    for path in (file, example):
        done = subprocess.run([visudo, "-c", "-f", str(path)], capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    assert example.read_text() == file.read_text()


@pytest.mark.parametrize(
    ("user", "path"),
    [
        ("ALL", "/opt/espm_tools"),
        ("espm, root", "/opt/espm_tools"),
        ("espm", "/opt/espm tools"),
        ("espm", "/opt/espm_tools, /bin/sh"),
        ("espm", "/opt/*/espm_tools"),
        ("espm", "/opt/espm_tools\nroot ALL=(ALL) ALL"),
    ],
)
def test_nothing_else_gets_into_sudos_file(user: str, path: str) -> None:
    """A name that sudo would read as more than a name is refused."""
    with pytest.raises(SetupError, match="sudo cannot be told"):
        sudoers.text(user, Path(path))


@needs_root
def test_apply_lets_espm_run_the_helper_and_unapply_takes_it_back(
    old: Old,
    sudo_files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The file has mode 0440; a second time of either changes nothing."""
    if not shutil.which("visudo", path="/usr/sbin:/usr/bin"):
        absent("visudo is not here")
    monkeypatch.setattr(tools, "_only_root_writes", lambda _: None)

    assert old.setup("--apply", sudo="") == 0
    assert sudo_files.read_text() == sudoers.text("root", old.helper)
    assert stat.S_IMODE(sudo_files.stat().st_mode) == 0o440
    assert old.setup("--apply", sudo="") == 0
    assert "as it should be; nothing was changed" in capsys.readouterr().out
    assert old.setup("--unapply", sudo="") == old.setup("--unapply", sudo="") == 0
    assert list(sudo_files.parent.iterdir()) == []


@needs_root
def test_a_file_of_somebody_elses_stays(
    old: Old, sudo_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither overwritten (73) nor removed."""
    monkeypatch.setattr(tools, "_only_root_writes", lambda _: None)
    assert old.setup(sudo="") == 0
    sudo_files.write_text("# mine\n")

    assert (old.setup("--apply", sudo=""), old.setup("--unapply", sudo="")) == (73, 0)
    assert sudo_files.read_text() == "# mine\n"


@needs_root
def test_what_visudo_refuses_is_not_put_in_place(
    old: Old,
    sudo_files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A file that sudo cannot read would keep everybody from sudo."""
    old.script("visudo", "#!/bin/sh\necho 'syntax error'; exit 1\n")
    monkeypatch.setattr(sudoers, "program", lambda *_: str(old.root / "visudo"))

    monkeypatch.setattr(tools, "_only_root_writes", lambda _: None)
    assert old.setup("--apply", sudo="") == 1
    assert "syntax error" in capsys.readouterr().err
    assert list(sudo_files.parent.iterdir()) == []
