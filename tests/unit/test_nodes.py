"""Use cases of a node that only a different set of ports shows."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from espm.errors import CertnameTaken
from espm.model import Certname, Classification
from espm.nodes import add_node
from tests.api.platform import PLATFORMS, Door, running

if TYPE_CHECKING:
    from pathlib import Path


def test_classes_can_be_left_unchecked(tmp_path: Path) -> None:
    """With check_classes = no Puppet is not asked, and what it lacks is accepted."""
    with running(tmp_path, Door("", "")) as espm:
        espm.catalogue.away = True
        ports = replace(espm.ports, check_classes=False)
        said = Classification(classes={"nosuch": {"any": 1}})
        accepted = add_node(PLATFORMS[0], Certname("a.example.com"), said, ports, request_id="test")

    assert accepted.warnings == ()
    assert espm.catalogue.looks == []


def test_what_somebody_else_classifies_is_not_even_reserved(tmp_path: Path) -> None:
    """An undone reservation would be forgotten in an ENC that keeps no mark of ours."""
    elsewhere: Any = SimpleNamespace(knows=lambda certname: True, resolve=None)
    with running(tmp_path, Door("", "")) as espm:
        elsewhere.resolve = espm.ports.classifier.resolve
        ports = replace(espm.ports, classifier=elsewhere)
        name = Certname("web1.example.com")
        with pytest.raises(CertnameTaken):
            add_node(PLATFORMS[0], name, Classification(), ports, request_id="test")

        assert list(espm.ports.ledger.nodes()) == []
