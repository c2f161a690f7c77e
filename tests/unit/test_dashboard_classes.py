"""The classes of a dashboard, and that they go with its classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from espm import compose, config
from espm.catalogue import dashboard as dashboard_catalogue
from espm.catalogue.dashboard import DashboardClasses
from espm.classifier import dashboard as dashboard_classifier
from espm.classifier.dashboard import DashboardClassifier
from espm.config.spec import BACKENDS, CATALOGUES
from espm.errors import BackendUnavailable
from espm.model import Classification, PuppetAccess
from espm.model.output import Output
from tests.configsamples import Sample
from tests.legacy.dashboard import Dashboard, legacy_dashboard
from tests.legacy.dashboard_host import OPTIONS, DirectHost, helper_options

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = PuppetAccess("", "", "", "", "")


@pytest.fixture
def made(tmp_path: Path) -> Dashboard:
    """Return a dashboard with classes that Puppet can have, and others."""
    made = legacy_dashboard(tmp_path, "1.2.11")
    made.add_class("ntp", "SSH::Server", "ESPM_Withheld", "9lives", "my-class")
    return made


def test_only_classes_that_a_platform_can_name_are_shown(made: Dashboard) -> None:
    """In lower case; not the one that withholds, nor one that Puppet could not have."""
    found = DashboardClasses(DirectHost(made), OPTIONS).classes("production")

    assert list(found.classes) == ["ntp", "ssh::server"]
    assert found.unparsable == {}


def test_a_look_serves_for_a_while(made: Dashboard) -> None:
    """Who wants it fresh gets what is there now, with another tag."""
    host = DirectHost(made)
    catalogue = DashboardClasses(host, OPTIONS)
    first = catalogue.classes("production")
    made.add_class("apache")
    kept, fresh = catalogue.classes("production"), catalogue.classes("production", max_age=0)

    assert first == kept
    assert "apache" in fresh.classes
    assert first.etag != fresh.etag
    assert host.tasks() == ["nodeclass:list"] * 2


def test_classifier_and_catalogue_look_at_the_classes_together(made: Dashboard) -> None:
    """Each look starts Rails; what one has seen serves the other, here and by the helper."""
    direct, options = DirectHost(made), helper_options(made)
    _use_both(DashboardClasses(direct, OPTIONS), DashboardClassifier(direct, OPTIONS))
    _use_both(
        dashboard_catalogue.connect(options, NOBODY), dashboard_classifier.connect(options, NOBODY)
    )
    by_helper = [each["argv"] for each in made.commands() if "nodeclass:list" in each["argv"]]

    assert direct.tasks() == ["nodeclass:list"]
    assert len(by_helper) == 1


def _use_both(catalogue: DashboardClasses, classifier: DashboardClassifier) -> None:
    assert "ntp" in catalogue.classes("production").classes
    assert "ntp" in classifier.resolve(Classification(classes={"ntp": {}})).classes


def test_a_dashboard_that_is_away_has_no_empty_catalogue(made: Dashboard) -> None:
    """A list that failed is not taken for one without classes."""
    host = DirectHost(made)
    host.instead["nodeclass:list"] = Output(1, b"", b"rake aborted!\nMysql::Error\n")

    with pytest.raises(BackendUnavailable):
        DashboardClasses(host, OPTIONS).classes("production")


def test_every_classifier_has_a_catalogue() -> None:
    """A row of the one table is a row of the other."""
    assert BACKENDS["classifier"].keys() == CATALOGUES.keys()


def test_the_configuration_chooses_both(tmp_path: Path) -> None:
    """A file with the dashboard as classifier has its classes as catalogue."""
    sample = Sample.make(tmp_path)
    sample.set("classifier", backend="dashboard")
    loaded = config.load(sample.write())

    assert isinstance(compose.classifier(loaded), DashboardClassifier)
    assert isinstance(compose.class_catalogue(loaded), DashboardClasses)
