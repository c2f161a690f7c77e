"""--renew-certificate: another certificate, the same key and so the same pin."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from cryptography import x509 as crypto
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID

from espm import x509
from espm_setup.__main__ import main
from espm_setup.files import owner
from tests.configsamples import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from espm.x509 import Key

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root works for another user")

NAMES = ["espm.example.com", "api.example.com"]
ADDRESSES = ["192.0.2.7", "2001:db8::7"]


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a directory that everybody can reach, with an espm's configuration."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        etc = Path(name) / "etc"
        etc.mkdir()
        Sample.make(etc).write()
        put(etc, x509.new_key())
        yield etc


def put(place: Path, key: Key) -> None:
    """Write a self-signed certificate of *key*, and that."""
    (place / "server.pem").write_bytes(x509.self_signed(key, NAMES, ADDRESSES, days=10))
    (place / "server.key").write_bytes(x509.key_pem(key))


def setup(place: Path, *words: str) -> int:
    """Run espm_setup for the espm in *place*."""
    return main(["-d", str(place), "--renew-certificate", *words])


def names(pem: bytes) -> tuple[list[str], list[str]]:
    """Return names and addresses of a certificate."""
    found = crypto.load_pem_x509_certificate(pem).extensions
    values = found.get_extension_for_class(crypto.SubjectAlternativeName).value
    addresses = map(str, values.get_values_for_type(crypto.IPAddress))
    return values.get_values_for_type(crypto.DNSName), list(addresses)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_the_pin_and_the_names_stay(
    place: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """The certificate is good for ten years again; the one before is beside it."""
    put(place, x509.new_key(kind))
    old, key = ((place / f"server.{end}").read_bytes() for end in ("pem", "key"))
    assert setup(place) == 0
    said = capsys.readouterr().out
    new = (place / "server.pem").read_bytes()
    certificate = crypto.load_pem_x509_certificate(new)

    assert new != old
    assert x509.spki_pin(new) == x509.spki_pin(old)
    assert names(new) == (NAMES, ADDRESSES)
    assert x509.common_name(new) == NAMES[0]
    assert (certificate.not_valid_after_utc - datetime.now(UTC)).days == 3649
    assert (place / "server.pem.espm-backup").read_bytes() == old
    assert (place / "server.key").read_bytes() == key
    assert new.decode() in said
    assert x509.spki_pin(new) in said
    assert x509.colons(x509.fingerprint(new)) in said
    assert "those whose CA it is need the new one" in said
    assert "Next: systemctl reload espm" in said


def test_a_new_key_comes_into_its_place_as_the_pages_say(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands are taken from there; what comes of them is a server's certificate."""
    text = (Path(__file__).parents[2] / "docs/administration.md").read_text()
    commands = text.partition("; cd /opt/espm/etc/certs\n")[2].partition(")\n# espm_setup")[0]
    old, mode = (place / "server.pem").read_bytes(), (place / "server.key").stat().st_mode
    script = commands.replace("espm.", "server.")
    subprocess.run(["sh", "-e", "-c", script], cwd=place, check=True, capture_output=True)
    assert setup(place) == 0
    new = (place / "server.pem").read_bytes()

    assert x509.spki_pin(new) != x509.spki_pin(old)
    assert x509.spki_pin(new) in capsys.readouterr().out
    assert names(new) == (["puppet.example.com", "puppet"], [])
    extensions = crypto.load_pem_x509_certificate(new).extensions
    assert not extensions.get_extension_for_class(crypto.BasicConstraints).value.ca
    assert (place / "server.key").stat().st_mode == mode
    assert sorted(path.name for path in place.glob("new.*")) == []


def test_programs_are_told_the_same(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON object, without a secret."""
    setup(place, "--json", "--days", "5")
    new = (place / "server.pem").read_bytes()

    assert json.loads(capsys.readouterr().out) == {
        "certificate": new.decode(),
        "fingerprint_sha256": x509.fingerprint(new),
        "pinned_public_key": x509.spki_pin(new),
        "path": str(place / "server.pem"),
        "backup": str(place / "server.pem.espm-backup"),
        "next": "systemctl reload espm",
    }


def test_a_further_name_comes_to_those_that_there_are(place: Path) -> None:
    """So a server gets one more without all others being typed again."""
    setup(place, "--san", "new.example.com", "--san", "192.0.2.9", "--san", NAMES[0])

    found = [*NAMES, "new.example.com"], [*ADDRESSES, "192.0.2.9"]
    assert found == names((place / "server.pem").read_bytes())


def test_another_name_is_a_new_beginning(place: Path) -> None:
    """Then only what is said counts, and the addresses of the host, as at the first run."""
    setup(place, "--name", "other.example.com", "--san", "192.0.2.9")
    found, addresses = names((place / "server.pem").read_bytes())

    assert found == ["other.example.com"]
    assert addresses[0] == "192.0.2.9"
    assert not set(addresses) & set(ADDRESSES)


def made_by_hand(
    key: Key | ed25519.Ed25519PrivateKey,
    *,
    issuer: str,
    alternatives: bool,
    signer: Key | None = None,
) -> bytes:
    """Return a certificate as somebody else might make it, self-signed unless by *signer*."""
    subject, by = (
        crypto.Name([crypto.NameAttribute(NameOID.COMMON_NAME, name)])
        for name in ("b.example.com", issuer)
    )
    now = datetime.now(UTC)
    builder = crypto.CertificateBuilder(by, subject, key.public_key(), 1, now, now)
    if alternatives:
        found = crypto.SubjectAlternativeName(
            [crypto.DNSName("a.example.com"), crypto.DNSName("b.example.com")]
        )
        builder = builder.add_extension(found, critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(signer or key, algorithm).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("alternatives", "expected"),
    [(True, ["b.example.com", "a.example.com"]), (False, ["b.example.com"])],
)
def test_the_common_name_stays_first(
    place: Path, *, alternatives: bool, expected: list[str]
) -> None:
    """Also of a certificate without alternative names, which clients do not accept."""
    key = x509.new_key()
    put(place, key)
    old = made_by_hand(key, issuer="b.example.com", alternatives=alternatives)
    (place / "server.pem").write_bytes(old)
    assert setup(place) == 0

    assert names((place / "server.pem").read_bytes())[0] == expected


def test_a_pair_that_is_none_is_not_renewed(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new pin would lock all platforms out."""
    (place / "server.key").write_bytes(x509.key_pem(x509.new_key()))

    refused(place, capsys, "is not the key of [server] certificate")


@pytest.mark.parametrize("issuer", ["A CA", "b.example.com"])
def test_a_certificate_of_a_ca_is_not_replaced_by_one_of_ours(
    place: Path, capsys: pytest.CaptureFixture[str], issuer: str
) -> None:
    """Its platforms trust that CA; an issuer that is called as the subject is none either."""
    key = x509.new_key()
    put(place, key)
    pem = made_by_hand(key, issuer=issuer, alternatives=True, signer=x509.new_key())
    (place / "server.pem").write_bytes(pem)

    refused(place, capsys, "is not self-signed")


def test_a_key_of_another_kind_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is known of how clients take it."""
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (place / "server.key").write_bytes(pem)
    made = made_by_hand(key, issuer="b.example.com", alternatives=True)
    (place / "server.pem").write_bytes(made)

    refused(place, capsys, "neither an EC nor an RSA key")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("server.key", b"rubbish", "does not hold one"),
        ("server.pem", b"rubbish", "is no certificate"),
        ("espm.ini", b"[server]\ncertificate = espm.pem\n", "certificate in "),
    ],
)
def test_what_cannot_be_read_is_said(
    place: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, said: str
) -> None:
    """No traceback, and nothing changed."""
    (place / name).write_bytes(content)

    refused(place, capsys, said)


def test_a_key_with_a_passphrase_is_said_to_be_one(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody could type it in when espm starts."""
    key = x509.new_key()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    )
    (place / "server.key").write_bytes(pem)

    refused(place, capsys, "without a passphrase")


def test_a_key_from_systemd_is_used_where_it_is(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without systemd's directory it is said how to name that."""
    ini, pin = place / "espm.ini", x509.spki_pin((place / "server.pem").read_bytes())
    ini.write_text(ini.read_text().replace(f"{place}/server.key", "credential:server.key"))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    refused(place, capsys, "set CREDENTIALS_DIRECTORY=/run/credentials/espm.service")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(place))

    assert setup(place) == 0
    assert x509.spki_pin((place / "server.pem").read_bytes()) == pin


def refused(place: Path, capsys: pytest.CaptureFixture[str], said: str) -> None:
    """Expect a refusal that says *said* and changes nothing."""
    before = {path: path.read_bytes() for path in place.iterdir()}

    assert setup(place) == 1
    assert said in capsys.readouterr().err
    assert {path: path.read_bytes() for path in place.iterdir()} == before


@as_root
def test_owner_and_mode_stay_also_of_the_copy(place: Path) -> None:
    """Everybody may read the certificate, and nobody but root change it."""
    os.chown(place / "server.pem", 0, owner("nobody").gid)
    (place / "server.pem").chmod(0o644)
    setup(place)

    for path in place.glob("server.pem*"):
        status = path.stat()
        assert (status.st_uid, status.st_gid) == (0, owner("nobody").gid)
        assert stat.S_IMODE(status.st_mode) == 0o644


@as_root
def test_root_renews_nothing_that_another_users_configuration_names(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may name any certificate of the machine."""
    os.chown(place / "espm.ini", owner("nobody").uid, owner("nobody").gid)
    (place / "server.key").chmod(0o600)
    old = (place / "server.pem").read_bytes()

    assert setup(place) == 77
    assert f"Permission denied: {place}/server.key" in capsys.readouterr().err
    assert (place / "server.pem").read_bytes() == old
