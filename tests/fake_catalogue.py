"""A double of the class catalogue; tests/contract holds it to the contract of the real one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from espm.errors import BackendUnavailable, EnvironmentUnknown
from espm.model import Catalogue, ClassParameter, PuppetClass


def puppet_class(name: str, *parameters: str, required: tuple[str, ...] = ()) -> PuppetClass:
    """Return a class whose *parameters* have defaults, but for the *required* ones."""
    optional = tuple(ClassParameter(each, "String", "'x'") for each in parameters)
    needed = tuple(ClassParameter(each, "String", required=True) for each in required)
    return PuppetClass(name, (*optional, *needed))


@dataclass
class FakeCatalogue:
    """Puppet's classes in memory.

    :ivar away: whether Puppet can't be asked.
    :ivar looks: the ``max_age`` of each question so far.
    :ivar deployed: classes that only a fresh look finds.
    """

    away: bool = False
    looks: list[float | None] = field(default_factory=list)
    deployed: dict[str, PuppetClass] = field(default_factory=dict)
    known: dict[str, PuppetClass] = field(
        default_factory=lambda: {
            "ntp": puppet_class("ntp", "servers", "ensure"),
            "profile::web": puppet_class("profile::web", "port", required=("docroot",)),
        }
    )

    def classes(self, environment: str, *, max_age: float | None = None) -> Catalogue:
        """Return the classes of production or staging; see espm.ports.ClassCatalogue."""
        self.looks.append(max_age)
        if self.away:
            msg = "Puppet Server does not answer"
            raise BackendUnavailable(msg)
        if environment not in {"production", "staging"}:
            msg = f"Puppet has no environment '{environment}'"
            raise EnvironmentUnknown(msg)
        found = Catalogue(environment, dict(self.known), {}, etag="known")
        if max_age is None:
            return found
        return replace(found, classes=self.known | self.deployed, etag="deployed")
