"""The unit of systemd: systemd understands it, and it gives away nothing that espm can do without.

That espm can work under it is shown by ``tests/api/test_daemon_sandbox.py``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from espm.config import spec as configspec
from espm.server.connections import LOOKS_WITHIN, ServerLimits
from tests.conftest import absent
from tests.sandbox import allowed, directives

ETC = Path(__file__).parents[2] / "etc"
UNIT = ETC / "espm.service"
SERVICE = directives(UNIT)

#: Lines that are there for a reason of espm's, or for a hole that they close.
LINES = {
    "Type": "notify",
    "NotifyAccess": "main",
    "RestartPreventExitStatus": "78",
    "ProtectSystem": "strict",
    "ReadWritePaths": "-/opt/espm/var -/opt/espm/enc",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "NoNewPrivileges": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "ProtectHome": "yes",
    "ProtectProc": "invisible",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "RestrictSUIDSGID": "yes",
    "UMask": "0077",
    "LimitCORE": "0",
}


#: What systemd makes of filters for system calls, which imply NoNewPrivileges (systemd.exec(5)),
#: and how each is switched off.
FILTERS = {
    **dict.fromkeys(("RestrictAddressFamilies", "SystemCallArchitectures", "SystemCallFilter"), ""),
    **dict.fromkeys(
        (
            *("LockPersonality", "MemoryDenyWriteExecute", "PrivateDevices", "ProtectClock"),
            *("ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules"),
            *("ProtectKernelTunables", "RestrictNamespaces", "RestrictRealtime"),
            *("RestrictSUIDSGID", "NoNewPrivileges"),
        ),
        "no",
    ),
}


@pytest.fixture
def analyze() -> str:
    """The program systemd-analyze."""
    return shutil.which("systemd-analyze") or absent("systemd-analyze is not here")


def _old() -> str:
    return (ETC / "espm.service.d/old-puppet.conf").read_text().partition("[Service]\n")[2]


def _run(*words: str) -> str:
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def _variants(folder: Path) -> list[Path]:
    """Write the unit as it is, for a user of its own, and with its options, its program there."""
    text = UNIT.read_text().replace("/opt/espm/venv/bin/espm", "/bin/true")
    own = (ETC / "espm.service.d/user.conf").read_text().partition("[Service]\n")[2]
    texts = {
        "plain": text,
        "own": text.replace("UMask=", f"{own}UMask="),
        "options": re.sub(r"(?m)^#(?=[A-Z]\w+=)", "", text),
        "old": text.replace("\n[Install]", f"{_old()}\n[Install]"),
    }
    for name, each in texts.items():
        (folder / f"espm-{name}.service").write_text(each)
    return [folder / f"espm-{name}.service" for name in texts]


def test_systemd_understands_every_line(analyze: str, tmp_path: Path) -> None:
    """Nothing is unknown or wrong, in the options neither; only the program's path differs."""
    said = [_run(analyze, "verify", "--man=no", str(path)) for path in _variants(tmp_path)]

    assert said == [""] * 4


def test_its_exposure_is_low(analyze: str, tmp_path: Path) -> None:
    """systemd's own score is below 2.0 of 10, whichever options are taken; sudo costs filters."""
    for path in _variants(tmp_path):
        most = 7.0 if path.stem == "espm-old" else 2.0
        said = _run(analyze, "--no-pager", "security", "--offline=true", str(path))
        score = re.search(r"Overall exposure level for \S+: ([0-9.]+) (?:OK|MEDIUM)", said)

        assert score, said
        assert float(score[1]) < most


@pytest.mark.parametrize("key", LINES)
def test_it_has_the_line(key: str) -> None:
    """A line that somebody takes out is missed."""
    assert SERVICE[key] == [LINES[key]]


def test_the_daemon_is_not_root() -> None:
    """User and group are Puppet's; the other choice is shipped beside it."""
    assert (SERVICE["User"], SERVICE["Group"]) == (["puppet"], ["puppet"])
    own = directives(ETC / "espm.service.d/user.conf")
    assert (own["User"], own["Group"]) == (["espm"], ["espm"])


def test_the_calls_of_the_privileged_are_refused(analyze: str) -> None:
    """chown comes back with the option for the command of Puppet Server, nothing else does."""
    lines = SERVICE["SystemCallFilter"]
    option = re.findall(r"(?m)^#SystemCallFilter=(.*)$", UNIT.read_text())
    calls, more = allowed(lines), allowed([*lines, *option])

    assert {"openat", "accept4", "execve", "prlimit64", "fsync"} <= calls
    assert not {"chown", "setuid", "mount", "ptrace", "bpf", "setpriority"} & calls
    assert {"chown", "fchown", "fchownat", "lchown"} <= more - calls
    assert not {"setuid", "mount", "bpf"} & more


def test_there_is_time_to_notice_that_it_hangs() -> None:
    """Neither a look around nor the end of requests takes as long as systemd waits."""
    assert float(SERVICE["WatchdogSec"][0]) > LOOKS_WITHIN
    assert ServerLimits().shutdown_seconds < float(SERVICE["TimeoutStopSec"][0])


def test_there_is_room_for_every_thread() -> None:
    """As many as the configuration allows, and those that are always there."""
    check = configspec.specification([])["server"]["threads"]
    most = re.search(r"max=(\d+)", check)

    assert most
    assert int(SERVICE["TasksMax"][0]) > int(most[1]) + 100


def test_a_start_is_not_cut_short() -> None:
    """It comes back each time: a limit that a large site's start exceeds keeps espm down for good,
    and systemd's own is 90 seconds.
    """
    assert SERVICE["TimeoutStartSec"] == ["30min"]
    assert "\nStartLimitIntervalSec=0\n" in UNIT.read_text()


def test_sudo_works_with_the_drop_in_for_old_puppet() -> None:
    """Nothing is left that implies NoNewPrivileges, and all else that the unit has stays."""
    old = directives(ETC / "espm.service.d/old-puppet.conf")
    paths = {word for line in old["ReadWritePaths"] for word in line.split()}

    assert {key: old[key] for key in FILTERS} == {key: [off] for key, off in FILTERS.items()}
    assert {*old} - {*FILTERS} == {
        *("CapabilityBoundingSet", "ReadWritePaths", "MemoryMax", "TasksMax")
    }
    assert all(path.startswith("-/") for path in paths)


def test_root_keeps_few_capabilities_with_old_puppet() -> None:
    """None by which root's helper could load modules, mount, trace, or change the network."""
    lines = directives(ETC / "espm.service.d/old-puppet.conf")["CapabilityBoundingSet"]
    kept = {word for line in lines for word in line.split()}

    assert {"CAP_SETUID", "CAP_SETGID", "CAP_DAC_OVERRIDE"} <= kept
    assert not {name for name in kept if name.startswith(("CAP_SYS_", "CAP_NET_"))} - {
        "CAP_SYS_RESOURCE"
    }


def test_the_own_user_can_be_made(tmp_path: Path) -> None:
    """By systemd-sysusers, as a user without a shell."""
    program = shutil.which("systemd-sysusers") or absent("systemd-sysusers is not here")
    (tmp_path / "etc").mkdir()
    _run(program, f"--root={tmp_path}", str(ETC / "espm.sysusers"))
    user = (tmp_path / "etc/passwd").read_text().split(":")

    assert (user[0], user[5], Path(user[6].strip()).name) == ("espm", "/opt/espm", "nologin")
