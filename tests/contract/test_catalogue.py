"""What every way to know Puppet's classes must do (espm.ports.ClassCatalogue)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from espm.catalogue.dashboard import DashboardClasses
from espm.catalogue.environment_classes import EnvironmentClasses
from espm.errors import BackendUnavailable, EnvironmentUnknown
from espm.puppet_http import PuppetHttp
from tests.fake_catalogue import FakeCatalogue
from tests.legacy.dashboard import legacy_dashboard
from tests.legacy.dashboard_host import OPTIONS, DirectHost

if TYPE_CHECKING:
    from pathlib import Path

    from espm.model import PuppetAccess
    from espm.ports import ClassCatalogue


@dataclass(frozen=True)
class Subject:
    """A catalogue, one whose Puppet is away, and a class that it has.

    :ivar required: a parameter of the class; empty where the catalogue knows only names.
    """

    catalogue: ClassCatalogue
    away: ClassCatalogue
    name: str
    required: str


def dashboard(directory: Path) -> Subject:
    """Return the classes of a dashboard, none of whose tasks tells their parameters."""
    made = legacy_dashboard(directory, "1.2.11")
    made.add_class("SSH::Server", "espm_withheld")
    away = DirectHost(made)
    away.instead["nodeclass:list"] = BackendUnavailable("the host is away")
    there = DashboardClasses(DirectHost(made), OPTIONS)
    return Subject(there, DashboardClasses(away, OPTIONS), "ssh::server", "")


def environment_classes(access: PuppetAccess) -> Subject:
    """Return the classes of a Puppet Server."""
    nowhere = replace(access, url="https://localhost:1")
    return Subject(
        EnvironmentClasses(PuppetHttp(access.url, access), 300),
        EnvironmentClasses(PuppetHttp(nowhere.url, nowhere), 300),
        "espm_probe",
        "path",
    )


@pytest.fixture(
    params=["fake", "dashboard", pytest.param("environment_classes", marks=pytest.mark.live)]
)
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    """Return each catalogue in turn."""
    if request.param == "fake":
        return Subject(FakeCatalogue(), FakeCatalogue(away=True), "profile::web", "docroot")
    if request.param == "dashboard":
        return dashboard(tmp_path)
    return environment_classes(request.getfixturevalue("access"))


def test_classes_have_their_parameters(subject: Subject) -> None:
    """Name, type, and whether the code has a default; none where only names can be known."""
    found = subject.catalogue.classes("production").classes[subject.name]
    if not subject.required:
        assert found.parameters == ()
        return
    parameter = next(each for each in found.parameters if each.name == subject.required)

    assert parameter.required
    assert parameter.type
    assert parameter.default is None


def test_an_environment_that_is_not_there_is_told(subject: Subject) -> None:
    """It is the caller's mistake, not the backend's."""
    with pytest.raises(EnvironmentUnknown):
        subject.catalogue.classes("no_such_environment")


def test_the_etag_stays_while_the_content_does(subject: Subject) -> None:
    """A look that finds the same has the same tag."""
    first = subject.catalogue.classes("production", max_age=0)

    assert subject.catalogue.classes("production", max_age=0).etag == first.etag


def test_a_puppet_that_is_away_is_told(subject: Subject) -> None:
    """Nobody takes an empty catalogue for the truth."""
    with pytest.raises(BackendUnavailable):
        subject.away.classes("production")
