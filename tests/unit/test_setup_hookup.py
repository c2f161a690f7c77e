"""Connecting Puppet with espm and taking it back, on a Puppet that is a script."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from configobj import ConfigObj

from espm import ledger, x509
from espm.config.spec import keys, specification
from espm_setup import client, files, hooks, puppet
from espm_setup.__main__ import main
from espm_setup.errors import SetupError
from tests.live import lab_auth

if TYPE_CHECKING:
    from collections.abc import Callable

ENC = Path(__file__).parents[2] / "etc/espm_enc"

PUPPET = """\
#!/bin/sh
# "puppet config print": fixed settings, and the two that matter as puppet.conf has them.
of() { sed -n "s/^$1 *= *//p" {root}/puppet.conf | tail -n 1; }
terminus=$(of node_terminus)
enc=$(of external_nodes)
cat <<END
ca_port = 8140
ca_server = puppet
cacrl = {root}/ca/ca_crl.pem
cadir = {root}/ca
certname = puppet.example.com
confdir = {root}
config = {root}/puppet.conf
csr_attributes = {root}/csr_attributes.yaml
environmentpath = {root}/environments
external_nodes = ${enc:-none}
group = no-such-group
hostcert = {root}/ssl/cert.pem
hostprivkey = {root}/ssl/key.pem
localcacert = {root}/ssl/ca.pem
node_terminus = ${terminus:-plain}
server = puppet
serverport = 8140
ssldir = {root}/ssl
user = no-such-user
END
"""


@dataclass(frozen=True)
class Machine:
    """A machine with an espm that is set up, and a Puppet that counts its reloads."""

    root: Path

    @property
    def puppet_conf(self) -> Path:
        """Puppet's configuration."""
        return self.root / "puppet.conf"

    @property
    def auth_conf(self) -> Path:
        """Puppet Server's rules."""
        return self.root / "puppetserver/conf.d/auth.conf"

    @property
    def reloads(self) -> int:
        """How often Puppet Server was reloaded."""
        log = self.root / "reloads"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def setup(self, *words: str) -> int:
        """Run espm_setup."""
        etc = self.root / "espm/etc"
        places = ["-d", str(etc), "-c", str(etc / "certs"), "--puppet", str(self.root / "puppet")]
        script = ["--reload", str(self.root / "reload"), "--wait", "1", "--enc", str(ENC)]
        return main([*places, *script, "--puppetserver", "/none", *words])

    def content(self) -> list[bytes]:
        """Return both files."""
        return [self.puppet_conf.read_bytes(), self.auth_conf.read_bytes()]

    def script(self, name: str, text: str) -> None:
        """Write a program."""
        (self.root / name).write_text(text)
        (self.root / name).chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine on which espm_setup ran once."""
    made = prepared(tmp_path)
    assert made.setup("--create") == 0
    return made


def prepared(tmp_path: Path) -> Machine:
    """Return a machine on which espm_setup did not run yet."""
    made = Machine(tmp_path)
    made.auth_conf.parent.mkdir(parents=True)
    made.auth_conf.write_text(lab_auth.shipped())
    made.puppet_conf.write_text("[main]\n[server]\n  # mine\n")
    made.script("puppet", PUPPET.replace("{root}", str(tmp_path)))
    made.script("reload", f"#!/bin/sh\necho reloaded >> {tmp_path}/reloads\n")
    return made


def test_the_configuration_fits_the_puppet_that_is_there(machine: Machine) -> None:
    """URL and names come from Puppet's own settings."""
    section = ConfigObj(str(machine.root / "espm/etc/espm.ini"))["puppet"]

    assert section["url"] == "https://puppet.example.com:8140"
    assert section["reserved"] == ["espm.puppet.example.com", "puppet.example.com"]


def test_a_puppet_that_has_no_ca_certificates_yet_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is missing is said, and that is not Puppet."""
    assert prepared(tmp_path).setup("--create") == 0

    said = capsys.readouterr().out
    assert "Puppet Server at https://puppet.example.com:8140, which does not answer now" in said
    assert "Puppet's CA certificates were not found" in said
    assert "No Puppet found" not in said


def test_apply_and_unapply_leave_the_files_as_they_were(machine: Machine) -> None:
    """Byte for byte, with a reload each, and without a trace."""
    before = machine.content()

    assert machine.setup("--apply") == 0
    assert machine.reloads == 1
    assert all(new != old for new, old in zip(machine.content(), before, strict=True))
    assert machine.setup("--unapply") == 0
    assert machine.reloads == 2
    assert machine.content() == before
    assert list(machine.root.rglob("*.espm-backup*")) == []


def test_full_scope_adds_the_rule_for_clean_and_takes_it_back(tmp_path: Path) -> None:
    """The configuration names the CA's directory, and decides which rules later calls make."""
    (tmp_path / "other").mkdir()
    made = prepared(tmp_path / "other")
    before = made.content()

    assert made.setup("--create", "--ca-scope", "full") == 0
    ini = ConfigObj(str(made.root / "espm/etc/espm.ini"))
    named = {key: ini["ca"][key] for key in ("signed_dir", "requests_dir")}
    assert named == {f"{name}_dir": f"{made.root}/ca/{name}" for name in ("signed", "requests")}
    assert ini["http_api"] == {"ca_scope": "full"}
    assert made.setup("--apply") == 0
    assert made.auth_conf.read_text().count('name: "espm clean"') == 1
    assert made.setup("--unapply") == 0
    assert made.content() == before


def test_a_scope_that_was_changed_later_is_applied(machine: Machine) -> None:
    """Another --apply adds the rule once espm.ini says full, and removes it afterwards."""
    ini = machine.root / "espm/etc/espm.ini"
    machine.setup("--apply")
    first = machine.content()
    text = ini.read_text()
    ini.write_text(f"{text}\n[http_api]\nca_scope = full\n")
    assert machine.setup("--apply") == 0
    full = machine.auth_conf.read_text()
    ini.write_text(text)

    assert "espm clean" in full
    assert machine.setup("--apply") == 0
    assert machine.content() == first


def test_a_backup_lies_beside_each_file(machine: Machine) -> None:
    """What was there before the first change can be put back by hand."""
    before = machine.content()
    machine.setup("--apply")

    assert before == [
        Path(f"{path}.espm-backup").read_bytes()
        for path in (machine.puppet_conf, machine.auth_conf)
    ]


def test_an_older_backup_is_not_taken_for_a_new_one(machine: Machine) -> None:
    """A copy that says something else stays, and another one is made beside it."""
    older = Path(f"{machine.puppet_conf}.espm-backup")
    older.write_text("older")
    before = machine.puppet_conf.read_bytes()
    machine.setup("--apply")

    assert Path(f"{older}.2").read_bytes() == before
    assert machine.setup("--unapply") == 0
    assert [older.read_text(), Path(f"{older}.2").exists()] == ["older", False]


def test_another_enc_directory_needs_no_second_backup(machine: Machine) -> None:
    """When our lines change, the copy of the file without them is kept as the only one."""
    before = machine.content()
    machine.setup("--apply")
    ini = machine.root / "espm/etc/espm.ini"
    other = machine.root / "other"
    (machine.root / "espm/enc").rename(other)
    ini.write_text(ini.read_text().replace(f"{machine.root}/espm/enc", str(other)))

    assert machine.setup("--apply") == 0
    assert f"-d {other}" in machine.puppet_conf.read_text()
    assert len(list(machine.root.rglob("*.espm-backup*"))) == 2
    assert machine.setup("--unapply") == 0
    assert machine.content() == before
    assert list(machine.root.rglob("*.espm-backup*")) == []


def test_a_second_apply_changes_and_reloads_nothing(machine: Machine) -> None:
    """It is for configuration management to repeat."""
    machine.setup("--apply")
    after = machine.content()

    assert machine.setup("--apply") == 0
    assert (machine.content(), machine.reloads) == (after, 1)


def test_a_second_unapply_changes_and_reloads_nothing(machine: Machine) -> None:
    """Nothing of espm's, nothing to do."""
    assert machine.setup("--unapply") == 0
    assert machine.reloads == 0


def test_the_enc_that_was_there_is_kept_as_fallback(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names that are not espm's are answered as before, also after a second apply."""
    text = "[server]\nnode_terminus = exec\nexternal_nodes = /etc/puppet/enc --fast\n"
    machine.puppet_conf.write_text(text)
    command = f"{ENC} -d {machine.root}/espm/enc -f /etc/puppet/enc -f --fast"

    assert [machine.setup("--apply"), machine.setup("--apply")] == [0, 0]
    said = capsys.readouterr().out
    assert said.count('Now set fallback = "/etc/puppet/enc --fast" in [builtin] of ') == 2
    assert f"external_nodes = {command}" in machine.puppet_conf.read_text().splitlines()
    assert machine.setup("--unapply") == 0
    assert machine.puppet_conf.read_text() == text


def test_what_was_edited_meanwhile_stays(machine: Machine) -> None:
    """Only what is ours goes, and the backup is kept for people."""
    machine.setup("--apply")
    with machine.puppet_conf.open("a") as file:
        file.write("autosign = false\n")

    assert machine.setup("--unapply") == 0
    assert machine.puppet_conf.read_text() == "[main]\n[server]\n  # mine\nautosign = false\n"
    assert Path(f"{machine.puppet_conf}.espm-backup").exists()


def test_owner_and_mode_stay(machine: Machine) -> None:
    """Puppet Server can still read its files, and nobody else more than before."""
    machine.auth_conf.chmod(0o640)
    before = machine.auth_conf.stat()
    machine.setup("--apply")
    after = machine.auth_conf.stat()

    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )


def test_a_link_stays_a_link(machine: Machine) -> None:
    """Where auth.conf is kept elsewhere, it is changed there."""
    elsewhere = machine.root / "kept.conf"
    machine.auth_conf.rename(elsewhere)
    machine.auth_conf.symlink_to(elsewhere)

    assert machine.setup("--apply") == 0
    assert machine.auth_conf.is_symlink()
    assert "espm begin" in elsewhere.read_text()


@pytest.mark.parametrize(
    "breakage",
    [
        pytest.param(lambda m: m.script("reload", "#!/bin/sh\nexit 1\n"), id="reload fails"),
        pytest.param(lambda m: (m.root / "reload").unlink(), id="reload is not there"),
        pytest.param(
            lambda m: m.script(
                "puppet", (m.root / "puppet").read_text().replace("${terminus:-plain}", "plain")
            ),
            id="Puppet does not see it",
        ),
        pytest.param(lambda m: (m.root / "espm/enc/.espm-enc").unlink(), id="no ENC directory"),
        pytest.param(lambda m: m.auth_conf.write_text('include "x"'), id="auth.conf unreadable"),
        pytest.param(
            lambda m: m.puppet_conf.write_text("[server]\nnode_terminus = classifier\n"),
            id="an ENC that cannot be kept",
        ),
    ],
)
def test_when_it_fails_the_files_are_as_they_were(
    breakage: Callable[[Machine], object], machine: Machine
) -> None:
    """No half of a change is left behind, whatever fails."""
    breakage(machine)
    before = machine.content()

    assert machine.setup("--apply") == 1
    assert machine.content() == before
    assert list(machine.root.rglob("*.espm-backup*")) == []


def test_a_reload_that_failed_may_have_ended_puppet_server(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says that the files are restored and what is left to do."""
    machine.script("reload", "#!/bin/sh\nexit 1\n")

    assert machine.setup("--apply") == 1
    said = capsys.readouterr().err
    assert "Puppet's files are as they were" in said
    assert "if it is not running, start it again" in said
    assert "--reload names another command" in said


def test_without_a_reload_nobody_is_told_to_start_puppet_server(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stopped before has ended nothing."""

    def fail(*_: object, **__: object) -> None:
        raise SetupError

    monkeypatch.setattr("espm_setup.files.replace", fail)

    assert machine.setup("--apply") == 1
    assert "start it again" not in capsys.readouterr().err


def test_nobody_leads_a_change_to_another_file(tmp_path: Path) -> None:
    """A link that changed its target since the file was read is not followed."""
    victim = tmp_path / "victim"
    victim.write_text("root's")
    (tmp_path / "auth.conf").symlink_to(victim)

    with pytest.raises(SetupError, match="somebody changed"):
        files.replace(tmp_path / "auth.conf", b"new", known=(b"old",))
    assert victim.read_text() == "root's"


def test_what_is_put_in_a_files_place_never_gets_special_rights(tmp_path: Path) -> None:
    """A setuid bit that somebody put there is not carried on."""
    path = tmp_path / "auth.conf"
    path.write_text("old")
    path.chmod(0o4755)
    files.replace(path, b"new", known=(b"old",))

    assert (path.read_text(), path.stat().st_mode & 0o7777) == ("new", 0o755)


def test_a_link_in_place_of_a_backup_is_no_backup(tmp_path: Path) -> None:
    """The copy is made under the next name."""
    path = tmp_path / "auth.conf"
    path.write_text("same")
    (tmp_path / "auth.conf.espm-backup").symlink_to(path)
    copy = files.back_up(path)

    assert (copy.name, copy.read_text()) == ("auth.conf.espm-backup.2", "same")


def test_a_file_with_half_of_our_marks_is_named(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is changed, and the message says which file and which line it is."""
    machine.setup("--apply")
    machine.puppet_conf.write_text(machine.puppet_conf.read_text().replace("# espm end\n", ""))
    before = machine.content()

    assert [machine.setup("--apply"), machine.setup("--unapply")] == [1, 1]
    assert f"{machine.puppet_conf}: line 3: the marks" in capsys.readouterr().err
    assert (machine.content(), machine.reloads) == (before, 1)


def test_apply_in_the_first_run_does_both(tmp_path: Path, machine: Machine) -> None:
    """One call sets espm up and connects Puppet with it."""
    other = tmp_path / "other/etc"

    assert machine.setup("-d", str(other), "-c", str(other), "--create", "--apply") == 0
    assert f"-d {other.parent}/enc" in machine.puppet_conf.read_text()


def test_json_is_one_object_with_what_was_applied(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """The values for the platform and the changes to Puppet's files come together."""
    other = str(machine.root / "other")
    capsys.readouterr()
    words = ["-d", other, "-c", other, "--host", "127.0.0.1", "--create", "--apply", "--json"]

    assert machine.setup(*words) == 0
    said = json.loads(capsys.readouterr().out)
    assert len(said["preshared_key"]) == 48
    assert any("auth.conf" in line for line in said["done"])
    assert ConfigObj(f"{other}/espm.ini")["server"]["host"] == "127.0.0.1"


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_first_run_that_cannot_connect_keeps_what_it_made(
    machine: Machine, capsys: pytest.CaptureFixture[str], form: list[str]
) -> None:
    """The key was shown, so espm stays; the message says what to repeat."""
    other = str(machine.root / "other")
    machine.script("reload", "#!/bin/sh\nexit 1\n")
    capsys.readouterr()

    assert machine.setup("-d", other, "-c", other, "--create", "--apply", *form) == 1
    said = capsys.readouterr()
    assert "espm is set up, but not connected" in said.err
    assert "repeat espm_setup --apply" in said.err
    assert "preshared" in said.out.lower()
    assert (machine.root / "other/espm.ini").exists()


def test_an_address_that_is_none_is_wrong_usage(machine: Machine) -> None:
    """The mistake is found before anything is made."""
    with pytest.raises(SystemExit) as caught:
        machine.setup("--host", "everywhere")

    assert caught.value.code == 2


def test_unapply_without_a_configuration_is_refused(machine: Machine) -> None:
    """Nobody guesses which espm is meant."""
    assert machine.setup("-d", str(machine.root / "nowhere"), "--unapply") == 1


def test_the_ledger_is_saved_before_it_is_upgraded(machine: Machine) -> None:
    """--upgrade leaves a copy of what was there."""
    assert machine.setup("--upgrade") == 0
    (copy,) = (machine.root / "espm/var").glob("ledger.db.backup-*")
    assert copy.stat().st_size > 0


def test_nothing_is_saved_of_a_ledger_that_an_espm_works_on(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each try would leave one more copy."""
    var = machine.root / "espm/var"
    with ledger.lock(f"sqlite:///{var}/ledger.db"):
        assert machine.setup("--upgrade") == 1

    assert "another espm works on this ledger" in capsys.readouterr().err
    assert not list(var.glob("ledger.db.backup-*"))


def test_the_command_that_signs_names_the_puppet_conf() -> None:
    """With --confdir the native command looks there as well."""
    signer = client.Signer("/usr/bin/puppetserver", Path("/x/puppet.conf"), "puppet")

    assert signer.command("espm.a") == [
        *("/usr/bin/puppetserver", "ca", "sign", "--certname", "espm.a"),
        *("--config", "/x/puppet.conf"),
    ]


def test_without_puppets_ca_no_certificate_is_asked_for(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody is trusted blindly: the message says where the CA's certificates go."""
    assert machine.setup("--fetch-certificate") == 1
    expected = f"put them into {machine.root}/espm/etc/certs/puppet-ca.pem"
    assert expected in capsys.readouterr().err


def test_a_ca_that_does_not_answer_can_be_asked_again(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was made stays, and the message says what to repeat."""
    (machine.root / "ssl").mkdir()
    certs = machine.root / "espm/etc/certs"
    (machine.root / "ssl/ca.pem").write_bytes((certs / "espm.pem").read_bytes())

    assert machine.setup("--fetch-certificate", "--ca-url", "https://localhost:1") == 1
    assert "repeat with --fetch-certificate" in capsys.readouterr().err
    assert (certs / "puppet-ca.pem").exists()
    assert not (certs / "puppet.pem").exists()


def test_names_of_the_infrastructure_are_reserved(machine: Machine) -> None:
    """infra_inventory.txt and conf.d are read as Puppet Server does; comments do not count."""
    (machine.root / "ca").mkdir()
    (machine.root / "ca/infra_inventory.txt").write_text("db.example.com\n\nBAD NAME\n")
    conf_d = machine.auth_conf.parent
    (conf_d / "ca.conf").write_text("certificate-authority: {\n  enable-infra-crl: true\n}\n")
    (conf_d / "webserver.conf").write_text("webserver: {\n # ssl-port: 1\n ssl-port = 8141\n}\n")
    found = puppet.find(str(machine.root / "puppet"), None, None)

    assert found is not None
    assert (found.infrastructure, found.infra_crl) == (("db.example.com",), True)
    assert found.url == "https://puppet.example.com:8141"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask as another user")
def test_the_enc_is_asked_as_puppets_user(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """An ENC that root can run and Puppet Server cannot would stop every catalog."""
    machine.script(
        "puppet", (machine.root / "puppet").read_text().replace("no-such-user", "nobody")
    )
    machine.root.chmod(0o700)

    assert machine.setup("--apply") == 1
    assert "does not answer nobody" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--apply", "--unapply", "--upgrade", "--fetch-certificate"])
def test_a_line_that_cannot_be_read_is_not_repeated(
    option: str, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may have the ledger's password in it."""
    ini = machine.root / "espm/etc/espm.ini"
    ini.write_text('[ledger]\nurl "postgresql+psycopg://espm:S3CRET@db/espm"\n')

    assert machine.setup(option) == 1
    said = capsys.readouterr().err
    assert "line 2" in said
    assert "S3CRET" not in said


@pytest.mark.parametrize("names", ["db.example.com, {own}", "{own}, db.example.com", "{own}"])
def test_espms_own_name_is_found_wherever_it_is_reserved(names: str, machine: Machine) -> None:
    """The administrator may sort the list, and add to it."""
    _reserve(machine, names.format(own="espm.puppet.example.com"))

    assert machine.setup("--apply") == 0
    assert "espm.puppet.example.com" in machine.auth_conf.read_text()
    assert "db.example.com" not in machine.auth_conf.read_text()


def test_a_name_that_could_be_another_hosts_gets_no_right(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where espm's own is not the usual one, nobody guesses which it is."""
    _reserve(machine, "db.example.com, door.example.com, puppet.example.com")
    before = machine.content()

    assert machine.setup("--apply") == 1
    assert "--certname" in capsys.readouterr().err
    assert machine.content() == before


def test_espms_certificate_tells_its_name(machine: Machine) -> None:
    """Whatever else is reserved."""
    _reserve(machine, "db.example.com, door.example.com")
    key = x509.new_key()
    pem = x509.self_signed(key, ["door.example.com"])
    (machine.root / "espm/etc/certs/puppet.pem").write_bytes(pem)
    puppet_there = puppet.find(str(machine.root / "puppet"), None, None)
    args = SimpleNamespace(certname=None, enc=None)

    found = hooks.installed(machine.root / "espm/etc/espm.ini", args, puppet_there)  # type: ignore[arg-type]
    assert found.certname == "door.example.com"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", "sqlite:////opt/espm/var/ledger.db"),
        ("[ledger]\n", "sqlite:////opt/espm/var/ledger.db"),
        ("ledger = x\n", "sqlite:////opt/espm/var/ledger.db"),
        ("[ledger]\nurl = sqlite:////srv/a,b.db\n", "sqlite:////srv/a,b.db"),
    ],
)
def test_the_setup_finds_the_ledger_that_espm_opens(text: str, url: str, tmp_path: Path) -> None:
    """By the default where the file has none, and whatever configobj makes of a comma."""
    (tmp_path / "espm.ini").write_text(text)

    assert hooks.ledger_url(hooks.read(tmp_path / "espm.ini")) == url


def test_the_setups_default_ledger_is_espms() -> None:
    """The two are written down in two places."""
    (of_espm,) = (
        key.default
        for key in keys(specification([]))
        if (*key.section, key.name) == ("ledger", "url")
    )
    assert of_espm == hooks.LEDGER


def _reserve(machine: Machine, names: str) -> None:
    ini = machine.root / "espm/etc/espm.ini"
    text = ini.read_text()
    assert "reserved = " in text
    ini.write_text(re.sub(r"(?m)^(\s*)reserved = .*$", rf"\1reserved = {names}", text))
