"""Names and files with anything in them: taken as they are meant, or refused in words."""

from __future__ import annotations

import json
import string
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from espm import config
from espm.classifier import documents, groups, render, strict_yaml
from espm.classifier.directory import prepare
from espm.classifier.documents import Documents
from espm.classifier.stamp import Stamp, State
from espm.errors import ConfigError, GroupsError, InvalidCertname
from espm.model import Certname
from tests.configsamples import Sample
from tests.hostile import spoilt
from tests.unit.test_groups import SOUND
from tests.unit.test_hostile_puppet import YAML

pytestmark = [pytest.mark.slow, pytest.mark.torture]

NAME_CHARACTERS = "az09_-.A é\n\0/%"


def is_certname(text: str) -> bool:
    """Return what the rule in docs/api.md says, word for word."""
    labels = text.split(".")
    allowed = {*string.ascii_lowercase, *string.digits, "_", "-"}
    return (
        len(text) <= 64
        and all(label and set(label) <= allowed for label in labels)
        and text[0] != "-"
        and not any(label.endswith("-") for label in labels)
        and text not in {"ca", "localhost"}
    )


@given(st.text(NAME_CHARACTERS, max_size=12) | st.text() | st.text("a.-", max_size=70))
@example("ca\n")
@example("a" * 64)
@example("a" * 65)
@example("\u0430")
@example("a\u0660")
def test_a_certname_is_what_the_rule_says(text: str) -> None:
    """The pattern and the words of the documentation are one rule."""
    try:
        assert Certname(text) == text
        taken = True
    except InvalidCertname:
        taken = False

    assert taken == is_certname(text)


@given(st.none() | st.integers() | st.binary() | st.lists(st.text()) | st.floats())
def test_what_is_no_text_is_no_certname(value: object) -> None:
    """Nothing is made a text on the way."""
    with pytest.raises(InvalidCertname):
        Certname(value)


DOCUMENTS = YAML | spoilt([SOUND])


@given(DOCUMENTS)
@example(b"a: !!int ''")
@example(b"a: !!int _")
@example(b"a: !!float _")
@example(b"a: !!float " + b"9" * 400 + b":1.0")
@example(b"a: !!int " + b"9" * 5000)
@example(b"a: !!bool x")
@example(b"a: 1" + b":59" * 400 + b".0")
def test_yaml_of_any_kind_is_json_or_at_fault(text: bytes) -> None:
    """What has no fault says what JSON can say, and PyYAML's safe loader reads the same."""
    value, found = strict_yaml.load(text)
    if not found:
        assert json.loads(json.dumps(value, allow_nan=False)) == value
        assert yaml.safe_load(text) == value


@given(DOCUMENTS | spoilt([b"groups: [{name: a, classes: [ntp], parameters: {a: 1}}]"]))
@example(b"groups: [{name: a, parameters: {x: !!int ''}}]")
@example(b"groups: [{name: a, parameters: {x: 1" + b":59" * 400 + b".0}}]")
@example(b"groups: [{name: a, parameters: {<<: {a: 1}}}]")
@example(b"groups: [&a {name: a, parent: b, classes: *a}]")
def test_a_groups_file_of_any_kind_is_groups_or_at_fault(text: bytes) -> None:
    """Groups that are taken can be written into documents; the rest is faults with lines."""
    with suppress(GroupsError):
        found = groups.parse(text)
        for group in found.values():
            render.value(dict(group.classes), "classes")
            render.value(dict(group.parameters), "parameters")
            assert group.parent is None or group.parent in found


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """A configuration that is right."""
    return Sample.make(tmp_path_factory.mktemp("config"))


@given(data=st.data())
def test_a_spoilt_configuration_is_read_or_refused(sample: Sample, data: st.DataObject) -> None:
    """Nothing but ConfigError comes out, and what is taken has what espm relies on."""
    path = sample.write()
    path.write_bytes(data.draw(spoilt([path.read_bytes()])))
    with suppress(ConfigError):
        found = config.load(path)
        assert found.access.url.startswith("https://")
        assert found.platforms
        assert all(1 <= len(each.psk_sha256) <= 2 for each in found.platforms)
        assert 0 < found.server.port < 65536


HEAD = render.head(7, 2, "present").encode()


@given(spoilt([HEAD, render.head(10**17, 1, "withheld").encode()]) | st.binary(max_size=80))
@example(b'{"espm": {"generation": 07, "version": 2, "state": "present"},')
@example('{"espm": {"generation": \u0667, "version": 2, "state": "present"},'.encode())
def test_a_head_is_read_as_it_was_written_or_not_at_all(content: bytes) -> None:
    """A stamp is read only from what espm itself would write for it."""
    stamp = documents._stamp(content)
    if stamp is not None:
        written = render.head(stamp.generation, stamp.version, stamp.state)
        assert content.startswith(written.encode())


@given(spoilt([HEAD + b'\n"classes": {}}\n']) | st.binary(max_size=80))
def test_a_damaged_document_is_replaced_or_later(content: bytes) -> None:
    """Whatever lies where a document belongs, publishing ends, and the later one is in force."""
    with TemporaryDirectory() as name:
        _publish_over(Path(name), content)


def _publish_over(enc: Path, content: bytes) -> None:
    prepare(enc)
    path = enc / "web1.example.com.json"
    path.write_bytes(content)
    published = Documents(enc)
    written = published.publish("web1.example.com", Stamp(9, 1, State.PRESENT), '"classes": {}}\n')
    stamp = published.stamps()["web1.example.com"]

    assert stamp is not None
    assert written or stamp.precedence >= Stamp(9, 1, State.PRESENT).precedence
