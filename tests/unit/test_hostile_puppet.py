"""Whatever Puppet's servers and programs say: one of the documented errors, or what they meant."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from espm import command, x509
from espm.api.bodies import catalogue_body
from espm.api.message import encoded
from espm.ca import http_api, puppetserver_ca
from espm.ca.signed import Signed
from espm.catalogue.environment_classes import EnvironmentClasses
from espm.classifier.fallback import Fallback
from espm.errors import (
    BackendRefused,
    BackendUnavailable,
    CertnameTaken,
    CsrPending,
    CsrUnknown,
    EnvironmentUnknown,
)
from espm.model import Certname
from espm.puppet_http import Reply, _accepted
from tests.api.contract import faults
from tests.hostile import spoilt
from tests.unit.test_ca_adapters import NAME, certificate

if TYPE_CHECKING:
    from collections.abc import Collection

pytestmark = pytest.mark.torture

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(max_size=5) | JSON,
        "type": st.sampled_from(["String", "TypeReference['Stdlib::Port']"]) | JSON,
        "default_source": st.text(max_size=5) | JSON,
        "default_literal": JSON,
    },
)
FILES = st.fixed_dictionaries(
    {},
    optional={
        "path": st.sampled_from(["/etc/code/modules/ntp/manifests/init.pp", "x", ""]) | JSON,
        "error": st.text(max_size=30) | JSON,
        "classes": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "name": st.sampled_from(["ntp", "a::b"]) | JSON,
                    "params": st.lists(PARAMETERS, max_size=3) | JSON,
                },
            )
            | JSON,
            max_size=3,
        )
        | JSON,
    },
)
ANSWERS = st.fixed_dictionaries({}, optional={"files": st.lists(FILES | JSON, max_size=4) | JSON})
STATUSES = st.sampled_from([200, 204, 302, 400, 401, 403, 404, 409, 418, 500, 503])
SIGNED = certificate()
ISSUED = x509.parse_certificate(SIGNED)
VERSIONS = st.sampled_from(["8.4.0", "7.9.5", "", "x", "9" * 5000, "8.2.2.1", "\u0668.2.2", "-1"])


class Odd:
    """A server that answers anything to everything, one after the other, over and over."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        self._answers = cycle(answers)

    def call(self, method: str, path: str, *, accept: Collection[int], **_: Any) -> Reply:
        """Answer as :meth:`espm.puppet_http.PuppetHttp.call` does."""
        return _accepted(f"{method} {path}", Reply(*next(self._answers)), accept)


def odd(*answers: tuple[int, bytes]) -> Any:
    """Return such a server where a real one is wanted."""
    return Odd(*answers)


@given(ANSWERS | JSON)
@example({"files": [{"path": "p", "classes": [{"name": 1, "params": []}]}]})
@example({"files": [{"path": "\ud800", "classes": [{"name": "\ud800", "params": []}]}]})
def test_an_odd_answer_about_classes_is_said_or_understood(answer: Any) -> None:
    """What is understood can be told to a platform, and keeps the contract."""
    reply = (200, json.dumps(answer).encode())
    classes = EnvironmentClasses(odd(reply), 60)
    with suppress(BackendUnavailable):
        body = catalogue_body(classes.classes("production"), lambda _: True)
        assert faults({"$ref": "#/components/schemas/Catalogue"}, body) == []
        assert encoded(body)


@given(STATUSES, st.binary() | spoilt([b'{"name": "production", "files": []}']))
@example(200, b"[" * 100_000)
@example(200, b'{"files": [' + b"[" * 100_000)
def test_an_odd_reply_about_classes_is_said(status: int, body: bytes) -> None:
    """Neither a status nor bytes that nobody expects let anything else out."""
    with suppress(BackendUnavailable, BackendRefused, EnvironmentUnknown):
        EnvironmentClasses(odd((status, body)), 60).classes("production")


BODIES = st.one_of(
    st.binary(max_size=60),
    st.just(SIGNED),
    spoilt([SIGNED]),
    VERSIONS.map(lambda version: json.dumps({"service_version": version}).encode()),
    st.sampled_from(
        [
            b"",
            b"{}",
            b'{"service_version": 7}',
            f"Could not find certificate {NAME}".encode(),
            f"Could not find certificate_request {NAME}".encode(),
            f"{NAME} already has a requested certificate; ignoring".encode(),
            f"{NAME} already has a revoked certificate; ignoring".encode(),
        ]
    ),
)
REPLIES = st.lists(st.tuples(STATUSES, BODIES), min_size=1, max_size=12)


def ask_everything(ca: Any) -> None:
    """Call every method of a CA, each with the errors that it may raise."""
    documented = (BackendUnavailable, BackendRefused)
    for call in (ca.version, ca.crl, ca.bundle, ca.can_clean, ca.can_heal):
        with suppress(*documented):
            call()
    for call in (ca.revoke, ca.clean_all):
        with suppress(*documented):
            call([NAME])
    with suppress(*documented):
        ca.heal(NAME, ISSUED)
    for call in (ca.certificate, ca.request, ca.check_rights, ca.clean):
        with suppress(*documented):
            call(NAME)
    with suppress(*documented, CsrUnknown):
        ca.sign(NAME)
    with suppress(*documented, CertnameTaken):
        ca.withdraw(NAME)
    with suppress(*documented, CsrPending, CertnameTaken):
        ca.submit(NAME, b"csr")


@pytest.mark.filterwarnings("ignore")
@given(REPLIES)
@example([(200, json.dumps({"service_version": "9" * 5000}).encode())])
def test_a_ca_that_answers_anything_is_said_to(replies: list[tuple[int, bytes]]) -> None:
    """Every call ends in what the port documents, whatever comes in which order."""
    ask_everything(http_api.HttpApi(odd(*replies)))
    with TemporaryDirectory() as name:
        (Path(name) / "own.pem").write_bytes(SIGNED)
        signed, own = Signed(Path(name)), Path(name) / "own.pem"
        ca = http_api.HttpApi(odd(*replies), signed=signed, certificate=own, full=True)
        ask_everything(ca)
        assert list(Path(name).iterdir()) == [own]


@pytest.mark.filterwarnings("ignore")
@given(
    REPLIES,
    st.lists(
        st.builds(command.Output, st.integers(-15, 255), st.binary(), st.binary())
        | st.just(BackendUnavailable("late")),
        min_size=1,
        max_size=4,
    ),
)
def test_a_command_that_says_anything_is_said_to(
    replies: list[tuple[int, bytes]], outputs: list[Any]
) -> None:
    """Exit codes and outputs of Puppet Server's command decide nothing that the CA does not."""
    said = cycle(outputs)

    def run(argv: list[str], **_: Any) -> command.Output:
        output = next(said)
        if isinstance(output, Exception):
            raise output
        assert isinstance(output, command.Output)
        return output

    options = {"program": "/bin/x", "config": "/etc/x", "command_timeout": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "run", run)
        ask_everything(puppetserver_ca.PuppetserverCa(odd(*replies), None, options))


YAML = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")),
    spoilt([b"classes: {ntp: {s: [a, 2026-11-21, !!int 7]}}\np: {a: &x 1, b: *x}\n"]),
    st.sampled_from(
        [
            b"!!int ''",
            b"!!int _",
            b"!!float ''",
            b"!!bool x",
            b"!!timestamp x",
            b"2026-99-99",
            b"!!binary \xc3\xa9",
            b"!!set [1]",
            b"!!omap x",
            b"!!pairs x",
            b"? [a]\n: b",
            b"{[a]: b}",
            b"? {a: b}\n: c",
            b"!ruby/object:Gem::Requirement {}",
            b"!!python/object/apply:os.system ['touch /tmp/x']",
            b"<<: 1",
            b"<<: [1]",
            b"&a [*a]",
            b"&a {x: *a}",
            b"classes: &a {x: *a}",
            b"[" * 5000,
            b"0x",
            b"0b",
            b"0o9",
            b"1:99:99",
            b"-0_",
            b"\xff",
            b"\x00",
            b"--- a\n--- b\n",
        ]
    ),
)


@given(YAML, YAML, st.integers(0, 3))
def test_a_fallback_that_says_anything_is_understood_or_said_to(
    one: bytes, other: bytes, status: int
) -> None:
    """The ENC that was there before may be any program."""
    outputs = iter([command.Output(status, one, b""), command.Output(0, other, b"")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "run", lambda *_, **__: next(outputs))
        with suppress(BackendRefused, BackendUnavailable):
            assert Fallback(["/bin/enc"]).knows(Certname(NAME)) in {True, False}
