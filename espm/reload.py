"""What SIGHUP does: keys, TLS files and groups are read anew while everything runs on.

Each part is taken over whole or not at all, and a fault in one does not keep the others back: a
leaked key must go even when the groups file has a typing error.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from espm import classes, metrics
from espm import config as configuration
from espm.checking import FRESH
from espm.errors import EspmError
from espm.model import Classification
from espm.ports import Reloadable
from espm.server.tls import build_context
from espm.x509 import certificates

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from espm.api.auth import Keyring
    from espm.config import Config
    from espm.model import Catalogable, Catalogue
    from espm.ports import Ports
    from espm.server.tls import Adapter

log = logging.getLogger(__name__)


def everything(path: Path, keyring: Keyring, adapter: Adapter, ports: Ports) -> bool:
    """Read the configuration at *path* anew; return whether all of it was taken over."""

    def tls_files() -> None:
        adapter.context = tls_context(configuration.load(path))

    parts: dict[str, Callable[[], None]] = {
        "preshared keys": lambda: keyring.replace(configuration.load_platforms(path)),
        "TLS files": tls_files,
        "groups": lambda: groups(ports),
    }
    taken = [_taken_over(what, part) for what, part in parts.items()]
    return all(taken)


def tls_context(config: Config) -> ssl.SSLContext:
    """Return the server's TLS context, having noted until when espm's certificates are good.

    :raises espm.errors.ConfigError: a file can't be read or used.
    """
    own = config.server.certificate
    context = build_context(own, config.server.private_key)
    for name, file in (("server", own), ("client", config.access.certificate)):
        if file:
            first, *_ = certificates(Path(file).read_bytes())
            metrics.CERTIFICATE_END.labels(name).set(first.not_valid_after_utc.timestamp())
    return context


def groups(ports: Ports, *, check: bool = True) -> None:
    """Read the groups anew and write the documents that change.

    :param check: whether to ask Puppet for the groups' classes, too.
    :raises espm.errors.GroupsError: all that is wrong; the old groups stay in force.
    :raises espm.errors.BackendError: Puppet can't be asked, or a document not written.
    """
    if not isinstance(ports.classifier, Reloadable):
        return
    unknown = _unknown(ports) if check and ports.check_classes else None
    done = ports.classifier.reload(ports.ledger.nodes(), unknown)
    for name in done.orphans:
        log.error("the ENC has a document for %s, of which the ledger knows nothing", name)


def say_unknown_classes(ports: Ports) -> None:
    """Log which classes and parameters of the groups Puppet does not have.

    At the start they are no reason to stay away: retiring nodes must work even when a module
    was removed, and Puppet Server may not be up yet.
    """
    if not ports.check_classes:
        return
    unknown = _unknown(ports)
    for group in ports.classifier.groups():
        for fault in unknown(ports.classifier.resolve(Classification(groups=(group.name,)))):
            log.error("group %s: %s", group.name, fault)


def _unknown(ports: Ports) -> Callable[[Catalogable], Sequence[str]]:
    looked: dict[str, Catalogue] = {}

    def faults(resolved: Catalogable) -> Sequence[str]:
        if not resolved.classes:
            return ()
        # One look serves all groups: on a large site it takes longer than it stays fresh.
        environment = resolved.environment
        if environment not in looked:
            looked[environment] = ports.catalogue.classes(environment, max_age=FRESH)
        return classes.check(resolved.classes, looked[environment]).faults

    return faults


def _taken_over(what: str, part: Callable[[], None]) -> bool:
    try:
        part()
    except EspmError as error:
        for line in str(error).splitlines():
            log.error("%s not reloaded: %s", what, line)  # noqa: TRY400 - a mistake, not a bug
        return False
    except Exception:
        log.exception("%s not reloaded", what)
        return False
    log.info("reloaded %s", what)
    return True
