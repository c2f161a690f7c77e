"""The classes that the dashboard has, which are those it can give to a node.

No task tells anything of the parameters of a class, nor of environments: all nodes of a
dashboard are in one.  Whether Puppet's code has the class is not known to it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from espm.errors import EnvironmentUnknown
from espm.host import connect as connect_host
from espm.model import Catalogue, PuppetClass
from espm.names import class_fault
from espm.rake import Rake, folded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from espm.model import PuppetAccess
    from espm.ports.host import Host


def connect(options: Mapping[str, Any], access: PuppetAccess) -> DashboardClasses:  # noqa: ARG001 -- every catalogue is connected alike
    """Return the catalogue of the dashboard that *options* describe.  Nothing is started yet.

    :param options: the keys of ``[classifier]`` and ``[dashboard]``.
    :raises espm.errors.ConfigError: the host is wrong.
    """
    return DashboardClasses(connect_host(options), options)


class DashboardClasses:
    """The adapter of the ClassCatalogue port; for any number of threads."""

    def __init__(self, host: Host, options: Mapping[str, Any]) -> None:
        self._environment: str = options["environment"]
        self._withheld = folded(options["withheld_class"])
        self._max_age: float = options["classes_cache"]
        self._names = Rake(host, options["command_timeout"]).class_names()

    def classes(self, environment: str, *, max_age: float | None = None) -> Catalogue:
        """Return the classes of the dashboard in lower case, as Puppet has them.

        The class that withholds catalogs is nobody's to give, and left out.

        :raises espm.errors.EnvironmentUnknown: it is not the one of the dashboard's nodes.
        :raises espm.errors.BackendError: the dashboard can't be asked.
        """
        if environment != self._environment:
            msg = f"the dashboard's nodes are all in environment '{self._environment}'"
            raise EnvironmentUnknown(msg, [msg])
        age = self._max_age if max_age is None else max_age
        names = {folded(name) for name in self._names.get(age)} - {self._withheld}
        known = sorted(name for name in names if class_fault(name) is None)
        etag = hashlib.sha256("\n".join(known).encode()).hexdigest()
        return Catalogue(environment, {name: PuppetClass(name) for name in known}, {}, etag)
