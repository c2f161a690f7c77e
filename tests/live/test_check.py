"""``espm check`` against a real Puppet Server: without espm's rights there, and with them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from espm import check, config
from espm.check import enc, puppet_conf
from espm.check.finding import Context, State
from espm.classifier import directory
from espm.ledger import upgrade
from tests.configsamples import Sample
from tests.live import credentials

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from espm.check.finding import Finding
    from espm.model import PuppetAccess
    from tests.live.lab import Lab

pytestmark = pytest.mark.live


def states(findings: Iterator[Finding]) -> dict[str, State]:
    """Return the worst state of each subject."""
    order = [State.OK, State.SKIP, State.WARN, State.FAIL]
    worst: dict[str, State] = {}
    for found in findings:
        worst[found.subject] = max(worst.get(found.subject, State.OK), found.state, key=order.index)
    return worst


@pytest.fixture
def sample(lab: Lab, access: PuppetAccess, tmp_path: Path) -> Sample:
    """Return a configuration for the lab, with ledger, ENC and groups file in scratch."""
    made = Sample.make(tmp_path)
    made.set("puppet", url=access.url, ca_file=access.ca_file)
    made.set("puppet", certificate=access.certificate, private_key=access.private_key)
    made.set("ledger", url=f"sqlite:///{tmp_path}/ledger.db")
    made.set("builtin", directory=str(tmp_path / "enc"))
    made.set("builtin", groups_file=str(tmp_path / "groups.yaml"))
    (tmp_path / "enc").mkdir()
    (tmp_path / "groups.yaml").write_text("groups: []\n")
    directory.prepare(tmp_path / "enc")
    upgrade(f"sqlite:///{tmp_path}/ledger.db")
    return made


def test_without_rules_the_check_names_what_is_not_allowed(
    lab: Lab, sample: Sample, tmp_path: Path
) -> None:
    """An ordinary certificate may neither change certificates' states nor list classes."""
    name = f"checks-{secrets.token_hex(8)}.example.com"
    certificate, key = credentials.store(lab, name, tmp_path / "stranger")
    sample.set("puppet", certificate=str(certificate), private_key=str(key))

    found = states(check.look(Context(config.load(sample.write()))))

    assert (found["CA rights"], found["classes"]) == (State.FAIL, State.FAIL)
    assert (found["CA"], found["CRL"]) == (State.OK, State.OK)


def test_with_the_rules_nothing_fails(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the check asks for is enough."""
    monkeypatch.setattr("espm.check.puppet_conf._CONFDIRS", ())
    context = Context(config.load(sample.write()))

    found = list(check.look(context))

    assert [finding for finding in found if finding.state is State.FAIL] == []


def test_a_certificate_of_another_ca_is_one_fail(sample: Sample, tmp_path: Path) -> None:
    """Puppet Server refuses it; the line of the CA says so, and the others don't repeat it."""
    sample.set("puppet", certificate=str(tmp_path / "puppet.pem"))
    sample.set("puppet", private_key=str(tmp_path / "puppet.key"))
    names = ("CA", "CA rights", "CRL", "classes", "ENC groups")

    first, *rest = check.look(
        Context(config.load(sample.write())), [row for row in check.CHECKS if row[0] in names]
    )

    assert "it does not accept espm's client certificate" in first.what
    assert {finding.state for finding in rest} == {State.SKIP}


def test_puppets_own_settings_are_read(
    lab: Lab, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lab's puppet.conf has no espm_enc in it, and the real puppet says so."""
    monkeypatch.setattr("espm.check.puppet_conf._CONFDIRS", (lab.puppet_conf.parent,))
    context = Context(config.load(sample.write()))

    assert states(enc.hook_up(context)) == {"ENC hook-up": State.FAIL}
    names = {"node_terminus", "external_nodes"}
    assert set(puppet_conf.settings(sorted(names))) == names
