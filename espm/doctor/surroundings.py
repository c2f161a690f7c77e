"""What is wrong around the revocations: orphans, CSRs that wait, what runs out soon."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from cryptography import x509

from espm import progress
from espm.check.finding import Finding, State, counted
from espm.check.own import until
from espm.check.puppet import whose
from espm.doctor.report import bounded
from espm.model import NodeState
from espm.ports import Rebuildable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from espm.check.finding import Context
    from espm.doctor.replay import Replayed
    from espm.model import Certname
    from espm.ports import Ports

#: For so many names the CA is asked whether a CSR waits, by so many threads.
ASKED = 2000
_THREADS = 4

_NO_DOCUMENT = "stop espm and run: espm enc rebuild"
_NO_NODE = "remove the file from the ENC's directory, unless you know who put it there"
_STRAY = "start espm, which carries it on, or run this with --heal"
_FOREIGN = (
    "nothing, if the CA was made anew: who trusts the present one does not accept them; else put "
    "all of its certificates into the CA's bundle"
)
_WAITS = (
    "have the platform sign it (sign_pending) if it is the instance's, or replace it "
    "(replace_pending)"
)
_ENDS = "have the platform revoke it and issue a new one, if the agent does not renew it"


def authorities(context: Context) -> Iterator[Finding]:
    """Look until when the CA's certificates are good."""
    for ca in x509.load_pem_x509_certificates(context.ca.bundle()):
        name = f"certificate of {whose(ca.subject, ca)}"
        remedy = "renew it before; the module puppetlabs-ca_extend does that"
        yield until("CA", name, ca.not_valid_after_utc, remedy)


def certificates(found: Replayed) -> Iterator[Finding]:
    """Yield what was noticed of certificates beside their revocation."""
    ending = [
        f"that of {certname} runs out on {issued.not_after:%Y-%m-%d}"
        for certname, issued in found.ending
    ]
    yield from bounded("certificates", State.WARN, ending, _ENDS)
    if found.foreign:
        what = f"{counted(len(found.foreign), 'certificate')} to be revoked: of another CA"
        yield Finding("certificates", State.WARN, what, _FOREIGN)
    strays = [
        f"{name} is gone, and its certificate is {certificate.state} in the ledger"
        for name, certificate in found.strays
    ]
    yield from bounded("nodes", State.WARN, strays, _STRAY)


def documents(ports: Ports) -> Iterator[Finding]:
    """Look for active nodes without a document, and for documents without a node."""
    enc = ports.classifier
    if not isinstance(enc, Rebuildable):
        return
    lacking, strange = _orphans(enc, ports)
    if not lacking and not strange:
        yield Finding("ENC", State.OK, "each node has its document, each document its node")
    whats = [f"the active node {name} has no document" for name in lacking]
    yield from bounded("ENC", State.FAIL, whats, _NO_DOCUMENT)
    whats = [f"no node explains the document of {name}" for name in strange]
    yield from bounded("ENC", State.FAIL, whats, _NO_NODE)


def _orphans(enc: Rebuildable, ports: Ports) -> tuple[list[str], list[str]]:
    """Return the names that are orphans in two looks: in one, the daemon may be at work on them."""
    first = enc.orphans(ports.ledger.nodes())
    if not first.nodes and not first.documents:
        return [], []
    second = enc.orphans(ports.ledger.nodes())
    nodes, names = set(second.nodes), set(second.documents)
    return [n for n in first.nodes if n in nodes], [n for n in first.documents if n in names]


def requests(holders: Collection[int], ports: Ports) -> Iterator[Finding]:
    """Look for CSRs that wait for active nodes without a certificate.

    :param holders: the generations of nodes that have one.
    """
    names = [
        node.certname
        for node in ports.ledger.nodes()
        if node.state is NodeState.ACTIVE and node.generation not in holders
    ]
    waiting = [f"a CSR of {name} waits at the CA" for name in _waiting(names[:ASKED], ports)]
    yield from bounded("CSRs", State.WARN, waiting, _WAITS)
    if len(names) > ASKED:
        what = f"the CA was asked for {ASKED} of {len(names)} nodes without a certificate"
        yield Finding("CSRs", State.WARN, what)
    elif not waiting:
        yield Finding("CSRs", State.OK, "none waits for a node without a certificate")


def _waiting(names: list[Certname], ports: Ports) -> list[Certname]:
    with ThreadPoolExecutor(_THREADS) as pool:
        answers = progress.shown(pool.map(ports.ca.request, names), len(names), "CSR")
        return [name for name, csr in zip(names, answers, strict=True) if csr is not None]
