"""Where the configuration becomes working parts: the only module that joins adapters to ports.

Backends that can be chosen are imported when they are asked for, so that nobody loads what the
configuration does not name.  The ledger is opened by the caller, for whoever opens it also has to
hold its lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from espm.carrying import AtOnce
from espm.config.spec import backend, catalogue
from espm.ports import Ports

if TYPE_CHECKING:
    from espm.config import Config
    from espm.ports import CertificateAuthority, ClassCatalogue, Classifier, Ledger


def build_ports(config: Config, ledger: Ledger) -> Ports:
    """Return everything that the use cases need from outside, as *config* has it.

    What is begun is carried on at once, by whoever began it; the daemon puts its own carrier
    there.

    :raises espm.errors.ConfigError: a backend finds its part of the configuration wrong.
    """
    return Ports(
        ledger=ledger,
        classifier=classifier(config),
        catalogue=class_catalogue(config),
        ca=certificate_authority(config),
        carrier=AtOnce(),
        reserved=config.reserved,
        check_classes=config.check_classes,
        key_type=config.key_type,
    )


def certificate_authority(config: Config) -> CertificateAuthority:
    """Return the configured way to Puppet's CA.

    :raises espm.errors.ConfigError: its part of the configuration is wrong.
    """
    module: Any = backend("ca", config.ca_backend)
    ca: CertificateAuthority = module.connect(config.ca_options, config.access)
    return ca


def classifier(config: Config) -> Classifier:
    """Return the configured way to tell Puppet what a node is.

    :raises espm.errors.ConfigError: its part of the configuration, or its groups file, is wrong.
    """
    module: Any = backend("classifier", config.classifier_backend)
    found: Classifier = module.connect(config.classifier_options, config.access)
    return found


def class_catalogue(config: Config) -> ClassCatalogue:
    """Return the way to learn which classes Puppet has; it goes with the classifier."""
    module: Any = catalogue(config.classifier_backend)
    found: ClassCatalogue = module.connect(config.classifier_options, config.access)
    return found
