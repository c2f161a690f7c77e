"""A private key from systemd: where it is, and what is said where systemd has handed over none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from espm import check, config
from espm.errors import ConfigError
from tests.configsamples import Sample

if TYPE_CHECKING:
    from pathlib import Path

NAME = "espm.key"


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """A configuration whose server key is a credential."""
    made = Sample.make(tmp_path)
    made.set("server", private_key=f"credential:{NAME}")
    return made


@pytest.fixture
def directory(sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What systemd makes for the service: a directory that only the service can read."""
    place = tmp_path / "credentials"
    place.mkdir()
    (place / NAME).write_bytes(sample.server_key.read_bytes())
    (place / NAME).chmod(0o400)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(place))
    return place


def _faults(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    return tuple(caught.value.faults)


# 0440 is what stat() shows where systemd gives the right by an access control list.
@pytest.mark.parametrize("mode", [0o400, 0o440])
def test_a_credential_is_a_file_like_others(sample: Sample, directory: Path, mode: int) -> None:
    """With the modes that systemd gives it."""
    (directory / NAME).chmod(mode)

    assert config.load(sample.write()).server.private_key == str(directory / NAME)


def test_a_credential_that_others_can_read_is_refused(sample: Sample, directory: Path) -> None:
    """It is a secret like any other."""
    (directory / NAME).chmod(0o444)
    (found,) = _faults(sample.write())

    assert "[server] private_key: others can read or change " in found


def test_a_credential_that_the_unit_does_not_load_is_told(sample: Sample, directory: Path) -> None:
    """With the path where it ought to be."""
    (directory / NAME).unlink()
    (found,) = _faults(sample.write())

    assert f"private_key: {directory / NAME} cannot be read: No such file or directory" in found


@pytest.mark.parametrize("value", [None, "", "relative"])
def test_by_hand_it_is_said_how(
    sample: Sample,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    value: str | None,
) -> None:
    """Without systemd there is no credential; ``espm check`` says what to do, and exits with 78."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    if value is not None:
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", value)
    code = check.main(sample.write())
    said = capsys.readouterr().out

    assert code == 78
    assert f'"credential:{NAME}" is there only for the service that systemd starts' in said
    assert "set CREDENTIALS_DIRECTORY=/run/credentials/espm.service" in said


def test_what_needs_no_key_works_by_hand(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else documents could not be rebuilt, for which espm must be stopped."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)

    assert config.load(sample.write(), keys=False).server.private_key == f"credential:{NAME}"


@pytest.mark.parametrize(
    "value", ["credential:", "credential:../x", "credential:a/b", "credential:.x", "credentials:x"]
)
def test_what_is_no_name_of_a_credential_is_refused(sample: Sample, value: str) -> None:
    """So that it never leads out of systemd's directory."""
    sample.set("server", private_key=value)
    (found,) = _faults(sample.write())

    assert f'"{value}" is not an absolute path' in found


def test_only_the_key_can_be_one(sample: Sample, directory: Path) -> None:
    """The certificate is no secret, and espm_setup needs the files of the client."""
    sample.set("server", certificate=f"credential:{NAME}")
    sample.set("puppet", private_key=f"credential:{NAME}")

    assert len(_faults(sample.write())) == 2
