"""The daemon: CherryPy's bus in the foreground, our server on it, signals, reload.

The composition root of the running process.  CherryPy's bus starts and stops things and writes
its messages; its autoreloader, its global server and its meaning of SIGHUP (exit) are not used.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import cherrypy
from cherrypy.process.servers import ServerAdapter

from espm import config as configuration
from espm import ledger, log, notify, reload, watchdog
from espm.api.app import Application
from espm.api.auth import Keyring
from espm.api.gate import Gate
from espm.api.handlers import Backend, Handlers
from espm.api.loopback import Loopback
from espm.compose import build_ports
from espm.config.spec import backend
from espm.errors import BackendUnavailable, EspmError, LedgerLocked
from espm.exposition import Exposition
from espm.hardening import harden, warn_of_root
from espm.health import Readiness
from espm.memory import bound_arenas, return_large, stay_small
from espm.revoker import Revoker
from espm.server.connections import ServerLimits, build_server
from espm.server.tls import Adapter
from espm.signals import Signals

if TYPE_CHECKING:
    from pathlib import Path

    from espm.config import Config
    from espm.ledger import LedgerLock
    from espm.ports import Ports

logger = logging.getLogger(__name__)

#: Seconds that a claim on an intent stands.  The ledger's lock already tells that its holder is
#: alive, so this only has to outlast the slowest operation.
LEASE = 3600.0

#: Seconds between two looks whether the ledger is ours alone still.
LOOK = 2.0


def serve(path: Path) -> None:
    """Run espm with the configuration at *path* until a signal ends it.

    :raises espm.errors.EspmError: it can't start; nothing was served.
    """
    harden()
    bound_arenas()
    return_large()
    log.configure()
    config = configuration.load(path)
    with ExitStack() as stack:
        lock = stack.enter_context(ledger.lock(config.ledger_url))
        warn_of_root()
        store = stack.enter_context(ledger.open_ledger(config.ledger_url, lease=LEASE))
        if orphans := store.orphan():
            logger.info("%d operations were under way when espm ended the last time", orphans)
        ports = build_ports(config, store)
        reload.groups(ports, check=False)
        Daemon(config, ports, lock).run()


class Daemon:
    """A configured espm, from the first ENGINE line to the last."""

    def __init__(self, config: Config, ports: Ports, lock: LedgerLock) -> None:
        self._config = config
        self._revoker = Revoker(ports)
        ports = replace(ports, carrier=self._revoker)
        self._ports = ports
        self._keyring = Keyring(config.platforms)
        self._reload_wanted = threading.Event()
        self._lock = lock
        self._lost: LedgerLocked | None = None
        self._signals = Signals(cherrypy.engine.log)
        limits = _limits(config)
        self._readiness = Readiness(ports, confirm=lock.confirm)
        exposition = Exposition(
            self._readiness, self._keyring.failures.counts, lambda: self._server.peers.open
        )
        handlers = Handlers(ports, self._readiness, _backends(config), exposition)
        self._loopback = Loopback(handlers)
        gate = Gate(max(1, limits.threads // 4))
        application = Application(handlers, self._keyring, gate, limits.body_bytes)
        self._adapter = Adapter(reload.tls_context(config))
        address = (config.server.host, config.server.port)
        self._server = build_server(address, application, self._adapter, limits)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; requests in flight are finished first.

        :raises espm.errors.BackendUnavailable: the port is taken.
        :raises espm.errors.LedgerLocked: another espm has taken the ledger meanwhile.
        """
        try:
            # The first of the two is served at once, so that they cannot share a port.
            self._loopback.serve(self._config.server.metrics_port)
            self._server.claim()
        except OSError as error:
            raise BackendUnavailable(str(error.strerror)) from error
        engine = self._engine()
        self._signals.listen()
        # The bus ends by itself when the server's thread breaks.
        engine.subscribe("exit", self._signals.end)
        engine.start()
        watchdog.start(self._server.stuck)
        self._begin_works()
        for name in self._signals:
            if name != "SIGHUP":
                self._end(engine)
                return
            self._reload_wanted.set()
        if self._lost is not None:
            self._end(engine)
            raise self._lost
        msg = "the server ended without being told to; see above"
        raise RuntimeError(msg)

    def _begin_works(self) -> None:
        """Begin what is done beside the server, each in a thread that ends with the process."""
        works = (self._say_troubles, self._reload_when_told, self._keep_ledger, stay_small)
        for work in (*works, self._revoker.run):
            threading.Thread(target=work, name=work.__name__, daemon=True).start()

    def _end(self, engine: cherrypy.process.wspbus.Bus) -> None:
        """Let what is under way be finished, and begin nothing more."""
        self._revoker.end()
        engine.exit()

    def _keep_ledger(self) -> None:
        """Take the ledger's lock anew where the database has lost it, or end where another did.

        A server of PostgreSQL drops the lock with our session when it is started anew.
        """
        while self._lost is None:
            time.sleep(LOOK)
            try:
                self._lock.confirm()
            except LedgerLocked as error:
                self._lost = error
                self._signals.end()
            except EspmError as error:
                # Without the ledger nothing can be begun; readiness says it.
                logger.debug("the ledger's lock: %s", error)

    def _engine(self) -> cherrypy.process.wspbus.Bus:
        """Return CherryPy's bus with our server on it and nothing that we do not want."""
        engine = cherrypy.engine
        cherrypy.log.screen = False
        cherrypy.checker.on = False
        cherrypy.server.unsubscribe()
        engine.autoreload.unsubscribe()
        ServerAdapter(engine, self._server, self._server.bind_addr).subscribe()
        engine.subscribe("start", lambda: notify.notify("READY=1"), priority=90)
        engine.subscribe("stop", lambda: notify.notify("STOPPING=1"), priority=10)
        return engine

    def _reload_when_told(self) -> None:
        """Reload each time it is wanted, beside the main thread: an end waits for no Puppet."""
        while self._reload_wanted.wait():
            self._reload_wanted.clear()
            self._reload()

    def _reload(self) -> None:
        """Take over new keys, TLS files and groups; what is wrong with one keeps its old state."""
        notify.reloading()
        done = reload.everything(self._config.path, self._keyring, self._adapter, self._ports)
        notify.notify("READY=1")
        cherrypy.engine.log("Reloaded." if done else "Reloaded in part; see above.")

    def _say_troubles(self) -> None:
        """Say what does not work at the start; Puppet may be slow to answer."""
        try:
            for part, reason in self._readiness.reasons().items():
                if reason is not None:
                    logger.warning("%s: %s; run 'espm check'", part, reason)
            reload.say_unknown_classes(self._ports)
        except EspmError as error:
            logger.warning("not everything could be looked at: %s", error)


def _limits(config: Config) -> ServerLimits:
    return ServerLimits(
        threads=config.server.threads,
        connections=config.server.connections,
        strangers_per_peer=config.server.strangers_per_peer,
    )


def _backends(config: Config) -> dict[str, Backend]:
    """Return what each chosen backend can do, for GET /v1/whoami."""
    chosen = {"ca": config.ca_backend, "classifier": config.classifier_backend}
    return {port: Backend(name, backend(port, name).CAN) for port, name in chosen.items()}
