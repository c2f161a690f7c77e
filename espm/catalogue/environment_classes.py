"""The classes that Puppet Server finds in an environment's code.

A look holds one of the server's JRuby instances for as long as it takes to parse every manifest,
seconds on large sites, so it is shared: one look at a time for each environment, and whoever
asks meanwhile gets the answer of the look that is under way if it began late enough for them.

Puppet Server has an ETag for its answer only while its environment class cache is on
("Environment classes", puppetserver documentation); ours is a hash of what we made of it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from espm.catalogue.parsing import catalogue
from espm.errors import BackendRefused, EnvironmentUnknown
from espm.names import environment_fault
from espm.puppet_http import PuppetHttp

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from espm.model import Catalogue, PuppetAccess
    from espm.puppet_http import Reply

#: How many environments are remembered; the least recently asked one goes first.
REMEMBERED = 32

#: [puppet] has to say how Puppet Server is reached.
NEEDS_PUPPET = True

_PATH = "/puppet/v3/environment_classes"


def connect(options: Mapping[str, Any], access: PuppetAccess) -> EnvironmentClasses:
    """Return the catalogue of the compile server.  Nothing is asked yet.

    :param options: the keys of ``[classifier]``.
    """
    return EnvironmentClasses(PuppetHttp(access.url, access), options["classes_cache"])


class Http(Protocol):
    """What we need of :class:`espm.puppet_http.PuppetHttp`."""

    def call(
        self,
        method: str,
        path: str,
        *,
        accept: Collection[int] = ...,
        params: Mapping[str, str] | None = ...,
    ) -> Reply:
        """Make one call and return the answer."""


@dataclass(slots=True)
class _Look:
    """The last look at an environment, and the lock that keeps a second one waiting.

    :ivar last: when it began, and what it found.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    last: tuple[float, Catalogue] | None = None

    def since(self, moment: float) -> Catalogue | None:
        """Return what was found if the look did not begin before *moment*."""
        last = self.last
        return last[1] if last is not None and last[0] >= moment else None


class EnvironmentClasses:
    """The adapter of the ClassCatalogue port; for any number of threads.

    :param http: the compile server.
    :param max_age: seconds for which a look serves callers that don't say.
    """

    def __init__(self, http: Http, max_age: float) -> None:
        self._http = http
        self._max_age = max_age
        self._lock = threading.Lock()
        self._looks: OrderedDict[str, _Look] = OrderedDict()

    def classes(self, environment: str, *, max_age: float | None = None) -> Catalogue:
        """Return the classes of *environment*, at most *max_age* seconds old.

        The age counts from before the server was asked.  A look that fails leaves the one
        before it for callers that are content with that.

        :raises espm.errors.EnvironmentUnknown: there is no such environment, or can't be.
        :raises espm.errors.BackendUnavailable: Puppet can't be asked.
        :raises espm.errors.BackendRefused: espm may not ask.
        """
        if fault := environment_fault(environment):
            raise EnvironmentUnknown(fault, [fault])
        wanted = time.monotonic() - (self._max_age if max_age is None else max_age)
        look = self._look(environment)
        # Before the lock: a look that somebody else wants may take seconds.
        return look.since(wanted) or self._look_afresh(look, environment, wanted)

    def _look_afresh(self, look: _Look, environment: str, wanted: float) -> Catalogue:
        with look.lock:
            if found := look.since(wanted):
                return found
            began = time.monotonic()
            found = self._ask(environment)
            look.last = (began, found)
            return found

    def _look(self, environment: str) -> _Look:
        with self._lock:
            look = self._looks.setdefault(environment, _Look())
            self._looks.move_to_end(environment)
            if len(self._looks) > REMEMBERED:
                self._looks.popitem(last=False)
            return look

    def _ask(self, environment: str) -> Catalogue:
        reply = self._http.call(
            "GET", _PATH, accept=(200, 403, 404), params={"environment": environment}
        )
        if reply.status == 403:
            msg = "Puppet Server does not let espm ask for classes; auth.conf needs espm's rule"
            raise BackendRefused(msg)
        if reply.status == 404:
            msg = f"environment '{environment}' does not exist on the Puppet server"
            raise EnvironmentUnknown(msg, [msg])
        return catalogue(environment, reply.json())
