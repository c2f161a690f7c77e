"""``espm doctor revocations``: what it finds, what it heals, and what it leaves alone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from espm import certificates, doctor, nodes, proving, x509
from espm.check import own, user
from espm.check.finding import State
from espm.doctor import examination, replay, report, surroundings
from espm.errors import BackendSilent, BackendUnavailable
from espm.model import CertificateState, Certname, Classification, IntentKind, KeyMaker
from espm.ordering import Order
from tests.api.platform import PLATFORMS, Door, Espm, running
from tests.configsamples import Sample
from tests.crls import is_revoked
from tests.fakes import FakeCa

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from espm.doctor.report import Report

CLOUD = PLATFORMS[0]


@pytest.fixture
def espm(tmp_path: Path) -> Iterator[Espm]:
    """An espm with a fake CA, of which no request is made."""
    with running(tmp_path, Door("", "")) as started:
        yield started


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the checks that need a whole configuration; they have tests of their own."""
    rows = examination._rows

    def chosen(*arguments: Any) -> list[Any]:
        return [row for row in rows(*arguments) if row[0] in {"certificates", "ENC", "CSRs"}]

    monkeypatch.setattr(examination, "_rows", chosen)
    # The fake CA's certificates are good for a day.
    monkeypatch.setattr(replay, "SOON", timedelta(0))


def launched(espm: Espm, *names: str) -> None:
    """Add nodes with certificates."""
    for name in names:
        nodes.add_node(
            CLOUD, Certname(name), Classification(), espm.ports, order=Order(), request_id="r"
        )


def retired(espm: Espm, *names: str) -> None:
    """Launch nodes and delete them."""
    launched(espm, *names)
    for name in names:
        nodes.delete_node(CLOUD, Certname(name), espm.ports, request_id="r")


def lose(espm: Espm, *names: str) -> dict[str, int]:
    """Have the CRL forget the certificates of *names*; return their serials."""
    serials = {
        str(name): each.issued.serial
        for name, each in espm.ledger.all_certificates()
        if name in names and each.issued and each.state is CertificateState.REVOKED
    }
    espm.ca.revoked -= set(serials.values())
    return serials


def examined(espm: Espm, *, heal: bool = False) -> Report:
    """Return what the doctor says."""
    server = SimpleNamespace(private_key="/nonexistent")
    access = SimpleNamespace(url="", ca_url="")
    context: Any = SimpleNamespace(config=SimpleNamespace(server=server, access=access))
    return examination.examine(context, espm.ports, heal=heal)


def names(named: Sequence[Any]) -> list[str]:
    """Return the certnames of certificates."""
    return [str(name) for name, _ in named]


def whats(found: Report, *states: State) -> list[str]:
    """Return what the findings with *states* say."""
    return [finding.what for finding in found.findings if finding.state in states]


def test_root_goes_on_as_espms_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And that one has to be able to read espm, which is said as ``espm check`` says it."""
    monkeypatch.setattr(user, "become_espm", lambda _: "puppet")
    monkeypatch.setattr(user, "_LIBRARY", (tmp_path / "hidden",))

    assert doctor.revocations(Sample.make(tmp_path).write(), as_json=True) == 1

    [finding] = json.loads(capsys.readouterr().out)
    assert "espm's user puppet cannot read" in finding["what"]


def test_what_the_crl_shows_is_fine(espm: Espm) -> None:
    """Live nodes and retired ones, each as the ledger says it: nothing to say, nothing changed."""
    launched(espm, "live.example.com")
    retired(espm, "gone.example.com")
    espm.ca.calls.clear()

    found = examined(espm)

    assert (found.looked_at, found.ended, found.lost, found.failed) == (2, 1, [], False)
    assert whats(found, State.WARN, State.FAIL) == []
    assert {call[0] for call in espm.ca.calls} <= {"crl", "bundle", "request"}


def test_exactly_the_lost_ones_are_named(espm: Espm) -> None:
    """With name, serial and platform; those that are in the CRL are not."""
    retired(espm, "a.example.com", "b.example.com", "c.example.com")
    serials = lose(espm, "b.example.com")

    found = examined(espm)

    [row] = json.loads(found.as_json())["lost"]
    serial = f"{serials['b.example.com']:X}"
    assert (row["certname"], row["serial"], row["platform"]) == ("b.example.com", serial, "cloud")
    parsed = x509.parse_certificate(row["certificate"].encode())
    assert parsed.serial == serials["b.example.com"]
    assert f"b.example.com serial {serial} of platform cloud" in found.as_screen()
    assert "-> run it with --heal, while espm is stopped; before" in found.as_screen()
    assert found.failed
    assert serials["b.example.com"] not in espm.ca.revoked


def test_what_is_lost_is_healed_and_nothing_else(espm: Espm) -> None:
    """A certificate that was issued for the same name afterwards stays valid."""
    espm.ca.heals = True
    retired(espm, "a.example.com", "again.example.com")
    launched(espm, "again.example.com")
    serials = lose(espm, "a.example.com", "again.example.com")
    espm.ca.calls.clear()

    found = examined(espm, heal=True)

    assert (names(found.healed), found.lost) == (["a.example.com", "again.example.com"], [])
    assert not found.failed
    assert set(serials.values()) <= espm.ca.revoked
    again = espm.ca.issued["again.example.com"]
    assert not is_revoked(espm.ca.crl(), again, espm.ca.bundle())
    assert {"revoke", "clean", "clean_all"}.isdisjoint(call[0] for call in espm.ca.calls)


def test_where_nothing_can_be_healed_it_says_what_to_do(espm: Espm) -> None:
    """It is lost still, the exit code says so, and the remedy is named."""
    retired(espm, "a.example.com")
    lose(espm, "a.example.com")

    found = examined(espm, heal=True)

    assert (names(found.lost), found.healed, found.failed) == (["a.example.com"], [], True)
    [healing] = [finding for finding in found.findings if finding.subject == "healing"]
    assert (healing.state, healing.what) == (State.FAIL, "espm can't heal here")
    assert "signed_dir" in healing.remedy


def test_what_can_not_be_healed_is_told_with_its_reason(espm: Espm) -> None:
    """One that fails does not stop the others, and is not lines on standard error."""
    espm.ca.heals = True
    retired(espm, "a.example.com", "b.example.com")
    lose(espm, "a.example.com")
    espm.ca.fail_before["heal"] = BackendUnavailable("its disk is full")

    found = examined(espm, heal=True)

    assert names(found.lost) == ["a.example.com"]
    assert whats(found, State.WARN) == ["could not heal a.example.com: its disk is full"]


def test_a_ca_that_falls_silent_hides_nothing(espm: Espm) -> None:
    """What was found before is told."""
    espm.ca.heals = True
    retired(espm, "a.example.com")
    lose(espm, "a.example.com")
    espm.ca.fail_before["can_heal"] = BackendSilent("no answer in time")

    found = examined(espm, heal=True)

    assert names(found.lost) == ["a.example.com"]
    assert "espm could not begin to heal: no answer in time" in whats(found, State.FAIL)


def test_a_ca_that_is_away_is_an_error(espm: Espm) -> None:
    """Without the CRL there is nothing to say."""
    espm.ca.fail_before["crl"] = BackendSilent("no answer in time")

    with pytest.raises(BackendSilent):
        examined(espm)


def test_what_was_revoked_meanwhile_is_not_lost(
    espm: Espm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon goes on: the ledger may be ahead of the CRL that was read before it."""
    retired(espm, "a.example.com")
    old = proving.revocations
    lost = lose(espm, "a.example.com")
    looks = []

    def looked(ports: Any) -> Any:
        looks.append(old(ports))
        espm.ca.revoked |= set(lost.values())
        return looks[-1]

    monkeypatch.setattr(replay, "revocations", looked)

    assert examined(espm).lost == []
    assert len(looks) == 2


def test_what_has_run_out_is_not_lost(espm: Espm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers drop it from their CRL, and nobody accepts it."""
    retired(espm, "a.example.com")
    lose(espm, "a.example.com")
    monkeypatch.setattr("espm.x509.crl.CLOCKS", timedelta(days=-3))

    assert (examined(espm).lost, examined(espm).ended) == ([], 1)


def test_a_certificate_of_another_ca_is_not_healed(espm: Espm) -> None:
    """At a CA made anew its serial is somebody else's; to heal it would revoke that one."""
    espm.ca.heals = True
    retired(espm, "a.example.com")
    other = FakeCa()
    espm.ca._key, espm.ca._bundle, espm.ca.revoked = other._key, other._bundle, set()
    launched(espm, "b.example.com")

    found = examined(espm, heal=True)

    assert (found.lost, found.healed, found.failed) == ([], [], False)
    assert "1 certificate to be revoked: of another CA" in whats(found, State.WARN)
    assert espm.ca.revoked == set()


def standing(espm: Espm, name: str) -> None:
    """Leave a valid certificate of a node whose life is over, as a CA that signs late does."""
    node, intent = espm.ledger.reserve(Certname(name), "cloud", Classification(), request_id="r")
    key = x509.new_key()
    certificate = espm.ledger.order(intent, x509.key_sha256(key.public_key()), KeyMaker.ESPM)
    espm.ledger.condemn(intent)
    espm.ledger.bury(intent)
    espm.ca.submit(Certname(name), x509.new_csr(name, key))
    espm.ledger.record(certificate, x509.parse_certificate(espm.ca.sign(Certname(name)).pem))
    assert node.generation


def test_a_certificate_of_a_deleted_node_is_found_and_finished(espm: Espm) -> None:
    """It is valid, so it counts as lost; healing revokes it as a deletion would have."""
    standing(espm, "stray.example.com")

    found = examined(espm)
    assert names(found.lost) == ["stray.example.com"]
    said = "stray.example.com is gone, and its certificate is valid in the ledger"
    assert said in whats(found, State.WARN)

    found = examined(espm, heal=True)
    assert (names(found.healed), found.failed) == (["stray.example.com"], False)
    assert whats(found, State.WARN) == []
    assert espm.ca.issued == {}
    assert not examined(espm).failed


def test_a_stray_that_can_not_be_finished_is_told(espm: Espm) -> None:
    """With the reason, and with the exit code."""
    standing(espm, "stray.example.com")
    espm.ca.fail_before["revoke"] = BackendUnavailable("status 500")

    found = examined(espm, heal=True)

    assert found.failed
    assert "stray.example.com is not settled: status 500" in whats(found, State.FAIL)


def test_orphans_of_both_directions_are_named(espm: Espm) -> None:
    """An active node without a document, and a document without a node; nothing is touched."""
    launched(espm, "bare.example.com", "fine.example.com")
    (espm.enc / "bare.example.com.json").unlink()
    (espm.enc / "strange.example.com.json").write_text("{}")

    found = examined(espm)

    assert found.failed
    assert whats(found, State.FAIL) == [
        "the active node bare.example.com has no document",
        "no node explains the document of strange.example.com",
    ]
    assert (espm.enc / "strange.example.com.json").exists()


def test_what_the_daemon_is_at_work_on_is_no_orphan(espm: Espm) -> None:
    """What is an orphan in one look only was on its way."""
    looks = [(("coming", "bare"), ("going", "strange")), (("bare",), ("strange", "new"))]

    class Enc:
        def rebuild(self, _: Any) -> None: ...

        def orphans(self, _: Any) -> Any:
            return SimpleNamespace(**dict(zip(("nodes", "documents"), looks.pop(0), strict=True)))

    ports = replace(espm.ports, classifier=Enc())  # type: ignore[arg-type]

    assert [finding.what for finding in surroundings.documents(ports)] == [
        "the active node bare has no document",
        "no node explains the document of strange",
    ]


def waiting(espm: Espm, name: str) -> None:
    """Have a CSR wait that an agent submitted."""
    espm.ca.submit(Certname(name), x509.new_csr(name, x509.new_key()))


def test_csrs_that_wait_for_bare_nodes_are_named(espm: Espm) -> None:
    """Only of nodes of ours that are active and have no certificate."""
    launched(espm, "has.example.com")
    for name in ("bare.example.com", "quiet.example.com"):
        nodes.add_node(CLOUD, Certname(name), Classification(), espm.ports, request_id="r")
    waiting(espm, "bare.example.com")
    waiting(espm, "foreign.example.com")
    espm.ca.calls.clear()

    found = examined(espm)

    assert whats(found, State.WARN) == ["a CSR of bare.example.com waits at the CA"]
    asked = {call[1] for call in espm.ca.calls if call[0] == "request"}
    assert asked == {"bare.example.com", "quiet.example.com"}


def test_the_names_that_the_ca_is_asked_for_are_bounded(
    espm: Espm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that it was cut off is said."""
    monkeypatch.setattr(surroundings, "ASKED", 1)
    for name in ("a.example.com", "b.example.com"):
        nodes.add_node(CLOUD, Certname(name), Classification(), espm.ports, request_id="r")

    [cut] = whats(examined(espm), State.WARN)

    assert cut == "the CA was asked for 1 of 2 nodes without a certificate"


def test_certificates_that_run_out_soon_are_named(
    espm: Espm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those in use; a warning is no fault."""
    monkeypatch.setattr(replay, "SOON", own.SOON)
    launched(espm, "soon.example.com")

    found = examined(espm)

    day = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
    assert whats(found, State.WARN) == [f"that of soon.example.com runs out on {day}"]
    assert not found.failed


def test_the_screen_is_bounded_and_the_json_is_not(
    espm: Espm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of lost ones are as many as fit, and how many more."""
    monkeypatch.setattr(report, "SHOWN", 2)
    lost = [f"n{number}.example.com" for number in range(5)]
    retired(espm, *lost)
    lose(espm, *lost)

    found = examined(espm)

    lines = [line for line in found.as_screen().splitlines() if line.startswith("FAIL  lost")]
    assert len(lines) == 3
    assert lines[-1].endswith("and 3 more")
    assert [row["certname"] for row in json.loads(found.as_json())["lost"]] == lost


def test_a_revoked_certificate_of_a_living_node_is_looked_for_too(espm: Espm) -> None:
    """Not only deletions revoke."""
    launched(espm, "live.example.com")
    node = espm.ledger.node("cloud", Certname("live.example.com"))
    certificates.revoke(CLOUD, node.certname, espm.ports, request_id="r")
    lose(espm, "live.example.com")

    assert names(examined(espm).lost) == ["live.example.com"]
    assert espm.ledger.open_intent(node, [IntentKind.REVOKE]) is None
