"""What of a classification Puppet does not have, and which names are none."""

from __future__ import annotations

import pytest

from espm import names
from espm.classes import check
from espm.model import Catalogue, ClassParameter, PuppetClass

APACHE = PuppetClass("apache", (ClassParameter("port"), ClassParameter("user", required=True)))
HAVE = Catalogue("production", {"apache": APACHE, "ntp": PuppetClass("ntp")}, {}, '"1"')


def test_what_exists_has_no_faults() -> None:
    """Class and parameters are there, and all that is required is given."""
    assert check({"apache": {"port": 80, "user": "www"}, "ntp": {}}, HAVE) == ([], [])


def test_unknown_classes_and_parameters_are_each_named() -> None:
    """With what was probably meant, and the environment that was looked at."""
    faults, _ = check({"apach": {}, "zzz": {}, "ntp": {"x": 1}, "apache": {"prot": 1}}, HAVE)

    assert faults == [
        "class 'apach' does not exist in environment 'production'; did you mean 'apache'?",
        "class 'zzz' does not exist in environment 'production'",
        "class 'ntp' has no parameter 'x'",
        "class 'apache' has no parameter 'prot'; did you mean 'port'?",
    ]


def test_a_required_parameter_without_a_value_is_a_warning() -> None:
    """Hiera may bind it, which only Puppet can know."""
    assert check({"apache": {}}, HAVE) == (
        [],
        ["class 'apache' has no default for 'user'; Hiera or the module's own data may have one"],
    )


def test_every_class_takes_metaparameters() -> None:
    """They are not among a class's own parameters."""
    assert check({"ntp": {"stage": "first", "noop": True}}, HAVE) == ([], [])


def test_files_that_do_not_parse_are_mentioned() -> None:
    """An unknown class may be in one of them."""
    files = {f"m{n}/manifests/init.pp": "Syntax error" for n in range(5)}
    (fault,), _ = check({"zzz": {}}, Catalogue("dev", {}, files, '"1"'))

    assert fault == (
        "class 'zzz' does not exist in environment 'dev' (Puppet can't parse "
        "m0/manifests/init.pp, m1/manifests/init.pp, m2/manifests/init.pp and 2 more: "
        "its code may be there)"
    )


@pytest.mark.parametrize("name", ["ntp", "a::b_1::c", "a" * 255])
def test_class_names(name: str) -> None:
    """Segments joined by two colons."""
    assert names.class_fault(name) is None


@pytest.mark.parametrize(
    "name", ["", "::ntp", "ntp::", "a:b", "Ntp", "1a", "_a", "a-b", "a\n", "a" * 256, 1, None]
)
def test_what_is_no_class_name(name: object) -> None:
    """Neither a leading '::' nor capitals nor anything else."""
    assert "not a class name" in str(names.class_fault(name))


@pytest.mark.parametrize("name", ["main", "settings"])
def test_reserved_classes(name: str) -> None:
    """Puppet makes these itself."""
    assert f"class '{name}': reserved by Puppet" == names.class_fault(name)


@pytest.mark.parametrize("name", ["", "A", "_a", "1", "a b", "a::b", "a\n", "é", 1])
def test_what_is_no_parameter_name(name: object) -> None:
    """The same rule for variables and class parameters."""
    assert "not a parameter name" in str(names.parameter_fault(name))
    assert "not a parameter name" in str(names.class_parameter_fault(name))


@pytest.mark.parametrize("name", ["trusted", "facts", "server_facts", "environment", "clientcert"])
def test_reserved_parameters(name: str) -> None:
    """Reserved at top scope; a class may call a parameter of its own so."""
    assert f"parameter '{name}': reserved by Puppet" == names.parameter_fault(name)
    assert names.class_parameter_fault(name) is None


def test_a_long_name_does_not_make_a_long_message() -> None:
    """What a caller sent is not sent back at full length."""
    assert len(str(names.class_fault("A" * 100_000))) < 250
