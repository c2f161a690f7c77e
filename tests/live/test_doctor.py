"""``espm doctor revocations`` against a real CA, whose CRL another tool wrote an old copy over."""

from __future__ import annotations

import json
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.live import scene
from tests.live.scene import crl_serials
from tests.live.stack import Stack, own_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.platform import Client
    from tests.live.lab import Lab

pytestmark = pytest.mark.live


class Healing(Stack):
    """An espm that may write into the CA's directory of signed certificates."""

    def set_up(self) -> None:
        """Run `espm_setup`, and name that directory in what it wrote."""
        super().set_up()
        text = self.ini.read_text()
        assert "\n[ca]\n" in text
        line = f"\n[ca]\nsigned_dir = {self.lab.cadir}/signed\n"
        self.ini.write_text(text.replace("\n[ca]\n", line))


@contextmanager
def writable(lab: Lab) -> Iterator[None]:
    """Let every user write into the CA's directory of signed certificates."""
    places = (lab.root, lab.cadir, lab.cadir / "signed")
    modes = [stat.S_IMODE(place.stat().st_mode) for place in places]
    try:
        for place, mode in zip(places, (0o755, 0o755, 0o777), strict=True):
            place.chmod(mode)
        yield
    finally:
        for place, mode in zip(places, modes, strict=True):
            place.chmod(mode)


@pytest.fixture(scope="module")
def stack(lab: Lab) -> Iterator[Stack]:
    """espm beside the lab, able to heal."""
    with (
        scene.scratch("doctor") as root,
        writable(lab),
        Healing(lab, root / "espm", options=own_name()) as started,
    ):
        yield started


@dataclass(frozen=True)
class Losses:
    """What the CRL has lost: *serials* by name; the latter name has a certificate again."""

    serials: dict[str, str]
    valid: dict[str, str]


@pytest.fixture
def losses(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Losses]:
    """Two revocations that an old copy of the CRL wrote over while espm is stopped."""
    cloud, crl = stack.client(), stack.lab.cadir / "ca_crl.pem"
    stem = request.function.__name__.replace("_", "-")[:30]
    kept, lost, again = (f"{stem}-{number}.example.com" for number in range(3))
    serials = {name: launch(cloud, name)["serial"] for name in (kept, lost, again)}
    retire(cloud, kept)
    old = crl.read_bytes()
    retire(cloud, lost, again)
    valid = launch(cloud, again)
    assert doctor(stack)[0] == 0
    stack.stop()
    crl.write_bytes(old)
    assert served(stack) & set(serials.values()) == {serials.pop(kept)}
    yield Losses(serials, valid)
    stack.start()
    retire(cloud, again)
    assert valid["serial"] in served(stack)


def launch(cloud: Client, name: str) -> dict[str, str]:
    """Add a node and return its certificate."""
    answer = cloud.add(name, certificate={})
    assert answer.status_code == 201, answer.text
    certificate: dict[str, str] = answer.json()["certificate"]
    return certificate


def retire(cloud: Client, *names: str) -> None:
    """Delete nodes, proved."""
    for name in names:
        assert cloud.call("DELETE", f"/v1/nodes/{name}").status_code == 204


def doctor(stack: Stack, *options: str) -> tuple[int, Any]:
    """Return the exit code of the doctor and what it says."""
    done = stack.espm("doctor", "revocations", "--json", *options)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def told(rows: list[dict[str, str]]) -> dict[str, str]:
    """Return the serials of certificates that the doctor names."""
    return {row["certname"]: row["serial"] for row in rows}


def served(stack: Stack) -> set[str]:
    """Return the serials in the CRL that Puppet Server gives to agents."""
    status, pem = stack.lab.request("GET", "/puppet-ca/v1/certificate_revocation_list/ca")
    assert status == 200
    return crl_serials(pem)


def spared(stack: Stack, losses: Losses) -> bool:
    """Return whether the later certificate is valid and in its place, and nothing is left over."""
    signed = stack.lab.cadir / "signed"
    name = list(losses.serials)[1]
    return (
        losses.valid["serial"] not in served(stack)
        and (signed / f"{name}.pem").read_text() == losses.valid["certificate"]
        and not list(signed.glob("espm-heal-*"))
    )


def test_what_another_tool_lost_is_told_and_healed(stack: Stack, losses: Losses) -> None:
    """Exactly those are named and put back; a later certificate of the same name stays valid."""
    code, found = doctor(stack)
    assert (code, told(found["lost"])) == (1, losses.serials)
    assert {row["platform"] for row in found["lost"]} == {"default"}

    code, found = doctor(stack, "--heal")
    assert (code, found["lost"], told(found["healed"])) == (0, [], losses.serials)

    assert set(losses.serials.values()) <= served(stack)
    assert spared(stack, losses)
    assert doctor(stack)[0] == 0


def test_it_is_healed_by_hand_as_the_documentation_says(stack: Stack, losses: Losses) -> None:
    """The certificate that the doctor gives, revoked under a name of its own."""
    signed = stack.lab.cadir / "signed"
    for row in doctor(stack)[1]["lost"]:
        name = f"heal-{row['serial'].lower()}"
        (signed / f"{name}.pem").write_text(row["certificate"])
        stack.lab.cli("ca", "revoke", "--certname", name)
        (signed / f"{name}.pem").unlink()

    assert set(losses.serials.values()) <= served(stack)
    assert spared(stack, losses)
    assert doctor(stack)[0] == 0
