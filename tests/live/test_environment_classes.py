"""The catalogue against a real Puppet Server."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from espm.catalogue.environment_classes import EnvironmentClasses
from espm.errors import BackendRefused, EnvironmentUnknown
from espm.puppet_http import PuppetHttp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from espm.model import PuppetAccess
    from tests.live.lab import Lab

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def catalogue(access: PuppetAccess) -> Iterator[EnvironmentClasses]:
    """Yield the catalogue of the laboratory's server."""
    http = PuppetHttp(access.url, access)
    yield EnvironmentClasses(http, 300)
    http.close()


@pytest.fixture
def environment(lab: Lab) -> Iterator[Path]:
    """Yield a new environment with a module of one class and a file that does not parse."""
    root = lab.codedir / "environments" / "espm_enc_live"
    manifests = root / "modules" / "espm_edit" / "manifests"
    manifests.mkdir(parents=True)
    (root / "environment.conf").write_text("environment_timeout = 0\nmodulepath = modules\n")
    (manifests / "init.pp").write_text("class espm_edit (String $must, Integer $n = 1 + 1) {}\n")
    (manifests / "bad.pp").write_text("class espm_edit::bad {\n  oops oops\n")
    yield root
    shutil.rmtree(root)


def test_hundreds_of_real_classes_are_found(catalogue: EnvironmentClasses) -> None:
    """Debian's modules have them; their parameters have types and defaults."""
    classes = catalogue.classes("production").classes

    assert len(classes) > 300
    by_name = {parameter.name: parameter for parameter in classes["ntp"].parameters}
    assert (
        by_name["broadcastclient"].type,
        by_name["broadcastclient"].required,
    ) == ("Boolean", True)


def test_an_unparsable_file_is_reported_and_the_rest_is_there(
    catalogue: EnvironmentClasses, environment: Path
) -> None:
    """One broken file hides its own classes only, and no path of the server is told."""
    found = catalogue.classes(environment.name, max_age=0)

    assert {"espm_edit"} == {name for name in found.classes if name.startswith("espm_edit")}
    assert "yntax error" in found.unparsable["espm_edit/manifests/bad.pp"]
    assert str(environment.parent) not in repr(found)


def test_parameters_have_their_source_text(
    catalogue: EnvironmentClasses, environment: Path
) -> None:
    """Also of a default that is an expression; what has none is required."""
    must, number = catalogue.classes(environment.name, max_age=0).classes["espm_edit"].parameters

    assert (must.name, must.type, must.default, must.required) == ("must", "String", None, True)
    assert (
        number.name,
        number.type,
        number.default,
        number.required,
    ) == ("n", "Integer", "1 + 1", False)


def test_an_edit_is_seen_by_a_fresh_look_only(
    catalogue: EnvironmentClasses, environment: Path
) -> None:
    """Without need the server is not asked again; the ETag tells the difference."""
    before = catalogue.classes(environment.name, max_age=0)
    init = environment / "modules" / "espm_edit" / "manifests" / "init.pp"
    init.write_text("class espm_edit (String $must, Integer $renamed = 2) {}\n")

    assert before is catalogue.classes(environment.name)

    after = catalogue.classes(environment.name, max_age=0)

    assert [p.name for p in after.classes["espm_edit"].parameters] == ["must", "renamed"]
    assert before.etag != after.etag
    assert after.etag == catalogue.classes(environment.name, max_age=0).etag


def test_an_environment_that_does_not_exist_is_told(catalogue: EnvironmentClasses) -> None:
    """The server's 404 means just that."""
    with pytest.raises(EnvironmentUnknown, match="'espm_nowhere' does not exist"):
        catalogue.classes("espm_nowhere")


def test_who_has_no_rule_in_auth_conf_is_told_so(lab: Lab, access: PuppetAccess) -> None:
    """The administrator's own certificate may manage the CA, but not ask for classes."""
    stranger = replace(access, certificate=str(lab.admin_cert), private_key=str(lab.admin_key))
    http = PuppetHttp(access.url, stranger)
    with pytest.raises(BackendRefused, match=r"auth\.conf"):
        EnvironmentClasses(http, 300).classes("production")
    http.close()
