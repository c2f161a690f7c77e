"""Whether what a node is to be told exists in Puppet's code.

A pure comparison of a classification with the catalogue of its environment, so that the use
cases, the reload of the groups file and ``espm check`` all say the same of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from espm.names import METAPARAMETERS, hints

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from espm.model import Catalogue, Json, PuppetClass


class Findings(NamedTuple):
    """What a comparison found, one sentence each.

    :ivar faults: what does not exist; Puppet would fail every catalog of the node.
    :ivar warnings: what may be missing; Hiera decides, and only Puppet can ask it.
    """

    faults: list[str]
    warnings: list[str]


def check(classes: Mapping[str, Mapping[str, Json]], catalogue: Catalogue) -> Findings:
    """Return what is wrong with *classes* (name to parameters) in *catalogue*'s environment.

    Metaparameters (``stage``, ``noop`` ...) are parameters of every class.
    """
    known = {n: p for n, p in classes.items() if n in catalogue.classes}
    unknown = [name for name in classes if name not in known]
    guesses = hints(unknown, catalogue.classes)
    faults = [_unknown(*each, catalogue) for each in zip(unknown, guesses, strict=True)]
    warnings: list[str] = []
    for name, parameters in known.items():
        faults += _unknown_parameters(catalogue.classes[name], parameters)
        warnings += _missing(catalogue.classes[name], parameters)
    return Findings(faults, warnings)


def _unknown(name: str, guess: str, catalogue: Catalogue) -> str:
    fault = f"class '{name}' does not exist in environment '{catalogue.environment}'{guess}"
    if catalogue.unparsable:
        fault += f" ({_files(catalogue.unparsable)}: its code may be there)"
    return fault


def _files(unparsable: Mapping[str, str]) -> str:
    first = sorted(unparsable)[:3]
    more = len(unparsable) - len(first)
    return "Puppet can't parse " + ", ".join(first) + (f" and {more} more" if more else "")


def _unknown_parameters(puppet_class: PuppetClass, parameters: Iterable[str]) -> Iterator[str]:
    known = {parameter.name for parameter in puppet_class.parameters}
    unknown = [name for name in parameters if name not in known | METAPARAMETERS]
    for name, guess in zip(unknown, hints(unknown, known), strict=True):
        yield f"class '{puppet_class.name}' has no parameter '{name}'{guess}"


def _missing(puppet_class: PuppetClass, parameters: Mapping[str, Json]) -> Iterator[str]:
    """Say it once for a class: one with data of its own has dozens of such parameters."""
    wanted = [each.name for each in puppet_class.parameters if each.required]
    missing = [f"'{name}'" for name in wanted if name not in parameters]
    if missing:
        yield (
            f"class '{puppet_class.name}' has no default for {', '.join(missing)}; "
            "Hiera or the module's own data may have one"
        )
