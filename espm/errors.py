"""What can go wrong, in the words of the field.

::

    EspmError
      + Unauthenticated           no known key came with the request
      + Forbidden                 the platform may not do this
      |   - OutsideLimits         ... because a limit of its section says so
      + InvalidRequest            the caller sent something we cannot accept
      |   - InvalidCertname       a name that Puppet's CA or espm would never take
      |   - InvalidClassification groups, classes or parameters that do not exist or do not fit
      |       - EnvironmentUnknown  Puppet has no such environment
      |   - InvalidCsr            a CSR that must not be signed
      |   - IdempotencyConflict   an Idempotency-Key that came with another body before
      + NodeUnknown               the platform has no such node
      + CertificateUnknown        the node has no certificate
      + CsrUnknown                the CA holds no CSR of that name
      + JobUnknown                the platform has no such job
      + Conflict                  the state of the node forbids it now
      |   - CertnameTaken         the name belongs to somebody
      |   - CertificateExists     the node has a certificate already
      |   - CsrPending            a CSR of that name waits at the CA
      |   - CsrMismatch           the CSR that waits is not the one the caller named
      |   - NodeBusy              another operation on this node is under way
      |   - IdempotencyBusy       the request with this Idempotency-Key is under way
      |   - IdempotencySpent      what was made under this Idempotency-Key is gone
      |   - KeyDelivered          the private key was given out and is not kept
      + VersionMismatch           If-Match names another version of the node
      + TooBusy                   too many requests wait for Puppet already
      + BackendError              Puppet, its CA, its ENC or our ledger let us down
      |   - BackendUnavailable    ... and trying again later may help
      |       - BackendSilent       ... for it did not answer at all
      |       - RevocationUnproven  ... for the CRL does not show what we ordered
      |   - BackendRefused        ... and trying again will not
      + ConfigError               the administrator's files are wrong; every fault is named
      |   - GroupsError           ... in the groups file
      + LedgerLocked              another espm works on this ledger
      + MigrationNeeded           the ledger's schema is not this espm's

``str(error)`` is safe to show to the caller.  The cause (``raise ... from exc``) is for the log
only: it may hold command lines, paths and the output of other programs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class EspmError(Exception):
    """The root of all errors that espm raises on purpose; never raised itself."""


def causes(error: BaseException) -> str:
    """Return *error* and what caused it on one line, for the log; never for the caller."""
    chain: list[str] = []
    current: BaseException | None = error
    while current is not None and len(chain) < 5:
        text = str(current)
        chain.append(
            text if isinstance(current, EspmError) else f"{type(current).__name__}: {text}"
        )
        current = current.__cause__
    return " <- ".join(chain)


class Unauthenticated(EspmError):
    """No known preshared key came with the request."""


class Forbidden(EspmError):
    """The platform may not do this."""


class OutsideLimits(Forbidden):
    """A limit of the platform's section of the configuration forbids it."""


class InvalidRequest(EspmError):
    """The caller sent something we cannot accept.

    :param message: what was wrong and what to do about it.
    :param faults: one sentence for each thing that was wrong, for the ``errors`` of the answer.
    """

    def __init__(self, message: str, faults: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults)


class InvalidCertname(InvalidRequest):
    """A name that Puppet's CA or espm would never take."""


class InvalidClassification(InvalidRequest):
    """Groups, classes or parameters that do not exist or do not fit together."""


class EnvironmentUnknown(InvalidClassification):
    """Puppet has no such environment."""


class InvalidCsr(InvalidRequest):
    """A CSR that must not be signed."""


class IdempotencyConflict(InvalidRequest):
    """The ``Idempotency-Key`` came with another body before."""


class NodeUnknown(EspmError):
    """The platform has no node of that name."""


class CertificateUnknown(EspmError):
    """The node has no certificate."""


class CsrUnknown(EspmError):
    """The CA holds no CSR of that name."""


class JobUnknown(EspmError):
    """The platform has no job of that name."""


class Conflict(EspmError):
    """The state of the node forbids it now."""


class CertnameTaken(Conflict):
    """The name belongs to a node, a certificate or a classification already."""


class CertificateExists(Conflict):
    """The node has a certificate; a new one needs the old one revoked."""


class CsrPending(Conflict):
    """A CSR of that name waits at the CA and blocks ours."""


class CsrMismatch(Conflict):
    """The CSR that waits at the CA is not the one the caller named."""


class NodeBusy(Conflict):
    """Another operation on this node is under way, or it is being deleted."""


class IdempotencyBusy(Conflict):
    """The first request with this ``Idempotency-Key`` is under way, or not settled yet."""


class IdempotencySpent(Conflict):
    """What was made under this ``Idempotency-Key`` was deleted or revoked since."""


class KeyDelivered(Conflict):
    """The answer had a private key, which is not kept."""


class VersionMismatch(EspmError):
    """``If-Match`` names another generation or version of the node."""


class TooBusy(EspmError):
    """Too many requests wait for Puppet already."""


class BackendError(EspmError):
    """Puppet, its CA, its ENC or our ledger let us down."""


class BackendUnavailable(BackendError):
    """A backend did not answer; trying again later may help."""


class BackendSilent(BackendUnavailable):
    """A backend could not be reached or did not answer in time; the next call will not either."""


class RevocationUnproven(BackendUnavailable):
    """The CRL does not show a revocation that we ordered; it is ordered again."""


class BackendRefused(BackendError):
    """A backend said no; trying again will not help."""


class ConfigError(EspmError):
    """The administrator's files are wrong.

    :param faults: one line for each fault, with file, section and key.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class GroupsError(ConfigError):
    """The groups file is wrong, or does not fit the nodes that exist."""


class LedgerLocked(EspmError):
    """Another espm works on this ledger."""


class MigrationNeeded(EspmError):
    """The ledger's schema is not the one this espm works with."""
