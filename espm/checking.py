"""Whether a classification may be and can be: limits, groups, and Puppet's classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from espm import classes, limits
from espm.errors import InvalidClassification

if TYPE_CHECKING:
    from espm.model import Classification, Platform
    from espm.ports import Ports

#: A look at Puppet's classes that is at most this old (seconds) is fresh: a class is only said
#: to be unknown after such a look, and a burst of bad requests does not ask Puppet each time.
FRESH = 5.0


def check(platform: Platform, classification: Classification, ports: Ports) -> tuple[str, ...]:
    """Return what the platform should know about a classification that can be.

    :raises espm.errors.OutsideLimits: its environment is not the platform's to use.
    :raises espm.errors.InvalidClassification: groups, classes or parameters do not exist or do
        not fit together; each is named.
    :raises espm.errors.BackendUnavailable: Puppet can't be asked.
    """
    resolved = ports.classifier.resolve(classification)
    limits.permit_environment(platform, resolved.environment)
    if not ports.check_classes or not resolved.classes:
        return ()
    catalogue = ports.catalogue.classes(resolved.environment)
    faults, warnings = classes.check(resolved.classes, catalogue)
    if faults:
        catalogue = ports.catalogue.classes(resolved.environment, max_age=FRESH)
        faults, warnings = classes.check(resolved.classes, catalogue)
    if faults:
        msg = f"Puppet's environment '{resolved.environment}' can't carry this classification"
        raise InvalidClassification(msg, faults)
    return tuple(warnings)
