"""The values that flow through espm: frozen, and ignorant of HTTP, SQL and Puppet's programs.

``certname``
    the one rule for names
``classification``
    what is said of a node, and what Puppet has to offer
``life``
    nodes, certificates and intents, with a picture of their states
``jobs``
    intents as others see them
``replay``
    what became of a request with an Idempotency-Key
``platform``
    who calls us, and how we call Puppet
"""

from espm.model.certname import (
    CERTNAME,
    CERTNAME_LENGTH,
    HEALING,
    NEVER_CERTNAMES,
    Certname,
)
from espm.model.classification import (
    Catalogable,
    Catalogue,
    Classification,
    ClassParameter,
    Group,
    Json,
    PuppetClass,
)
from espm.model.jobs import Backlog, Job, JobState
from espm.model.life import (
    Certificate,
    CertificateState,
    Intent,
    IntentKind,
    Issued,
    KeyMaker,
    Node,
    NodeState,
    OrderedKey,
    Revoked,
    SignedCertificate,
)
from espm.model.platform import Limits, Platform, PuppetAccess
from espm.model.replay import Fate, Kept, Replay, ReplayKey

__all__ = [
    "CERTNAME",
    "CERTNAME_LENGTH",
    "HEALING",
    "NEVER_CERTNAMES",
    "Backlog",
    "Catalogable",
    "Catalogue",
    "Certificate",
    "CertificateState",
    "Certname",
    "ClassParameter",
    "Classification",
    "Fate",
    "Group",
    "Intent",
    "IntentKind",
    "Issued",
    "Job",
    "JobState",
    "Json",
    "Kept",
    "KeyMaker",
    "Limits",
    "Node",
    "NodeState",
    "OrderedKey",
    "Platform",
    "PuppetAccess",
    "PuppetClass",
    "Replay",
    "ReplayKey",
    "Revoked",
    "SignedCertificate",
]
