"""Checks of Puppet Server: can it be reached, does it allow what espm does, is its CRL good."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

from espm.ca.http_api import HttpApi
from espm.check import puppet_conf
from espm.check.finding import Finding, State, counted
from espm.check.own import until
from espm.check.trouble import trouble
from espm.errors import BackendError, BackendUnavailable
from espm.model import Certname

if TYPE_CHECKING:
    from collections.abc import Iterator

    from espm.check.finding import Context
    from espm.model import Catalogue

#: A CRL of this many bytes takes noticeable time at every revocation.
LARGE_CRL = 1024 * 1024

#: So many files that Puppet cannot parse are named; a broken module can have hundreds.
NAMED = 3


def reachable(context: Context) -> Iterator[Finding]:
    """Look whether the CA answers at all."""
    url = context.config.access.ca_url
    try:
        version = context.ca.version()
    except BackendError as exc:
        what, remedy = trouble(exc, "ca_url")
        yield Finding("CA", State.FAIL, f"{url}: {what}", remedy)
        return
    yield Finding("CA", State.OK, f"{url} runs version {version}")


def rights(context: Context) -> Iterator[Finding]:
    """Look whether espm may do at the CA what it has to."""
    if program := context.config.ca_options.get("program"):
        yield _program(Path(program), Path(context.config.ca_options["config"]))
        return
    path = f"/puppet-ca/v1/certificate_status/{unused()}"
    reply = context.ca_server.call("GET", path, accept=(200, 403, 404))
    if reply.status == 403:
        rule = r'"^/puppet-ca/v1/certificate_status/[^/]+$" (type regex, methods get, put, delete)'
        yield _kept_out(context, "certificate_status", rule)
    else:
        what = f"{context.config.certname} may see and change the status of certificates"
        yield Finding("CA rights", State.OK, what)
    if _is_full(context):
        yield _clean(context)


def healing(context: Context) -> Iterator[Finding]:
    """Look whether revocations that the CA loses can be made good, where that is wanted."""
    signed, full = context.config.ca_options.get("signed_dir"), _is_full(context)
    heals = context.ca.can_heal()
    if heals and (signed or not full):
        yield Finding("CA healing", State.OK, "revocations that the CA loses can be healed")
    elif not (signed or full):
        what = "not wanted ([ca] signed_dir is empty); 'espm doctor revocations' finds what is lost"
        yield Finding("CA healing", State.OK, what)
    else:
        reason = f"{signed} is not the CA's, or closed" if signed else "[ca] signed_dir is empty"
        what = reason if heals else f"revocations that the CA loses cannot be healed: {reason}"
        remedy = "name the CA's directory of signed certificates, and let espm's user write there"
        if full:
            what += "; so clean is not used"
            remedy += "; or set [http_api] ca_scope = prefix"
        yield Finding("CA healing", State.FAIL if full else State.WARN, what, remedy)


def handing_in(context: Context) -> Iterator[Finding]:
    """Look how CSRs are handed in, and whether that is as the configuration wants it."""
    directory = context.config.ca_options.get("requests_dir")
    if not directory:
        what = "CSRs are handed in by calls ([ca] requests_dir is empty)"
        yield Finding("CA requests", State.OK, what)
    elif isinstance(context.ca, HttpApi) and context.ca.puts():
        yield Finding("CA requests", State.OK, f"CSRs are put into {directory}")
    else:
        what = f"CSRs are handed in by calls: {directory} is not the CA's, or closed"
        remedy = "name the CA's directory of CSRs, and let espm's user write there; or leave it out"
        yield Finding("CA requests", State.WARN, what, remedy)


def classes(context: Context) -> Iterator[Finding]:
    """Look whether Puppet says which classes it has."""
    config = context.config
    if not config.check_classes:
        what = "classes are not checked before nodes get them"
        yield Finding("classes", State.WARN, what, "set [classifier] check_classes = yes")
        return
    environment = str(config.classifier_options.get("environment") or "production")
    try:
        found = context.catalogue.classes(environment, max_age=0)
    except BackendUnavailable as exc:
        what, remedy = trouble(exc, "url")
        yield Finding("classes", State.FAIL, f"{config.access.url}: {what}", remedy)
        return
    yield Finding("classes", State.OK, f"{len(found.classes)} in environment {environment}")
    if found.unparsable:
        yield _unparsable(found)


def crl(context: Context) -> Iterator[Finding]:
    """Look whether the CRL is in force, small, and the one of the CA that signs."""
    pem = context.ca.crl()
    crls = {block: x509.load_pem_x509_crl(block) for block in _blocks(pem)}
    authorities = {ca.subject: ca for ca in x509.load_pem_x509_certificates(context.ca.bundle())}
    if not any(found.issuer in authorities for found in crls.values()):
        remedy = "put this CA's certificates into [puppet] ca_file, or name its CRL: [ca] crl_file"
        yield Finding("CRL", State.FAIL, "no CRL is of the CA that signs", remedy)
    for block, found in crls.items():
        if found.next_update_utc is not None:
            remedy = "revoke any certificate, which makes Puppet Server write a new CRL"
            of = whose(found.issuer, authorities.get(found.issuer))
            size = f"{counted(len(found), 'revocation')} in {counted(len(block), 'byte')}"
            name = f"of {of}: {size}; it"
            yield until("CRL", name, found.next_update_utc, remedy)
    if len(pem) > LARGE_CRL:
        remedy = "stop Puppet Server and run: puppetserver ca prune"
        yield Finding("CRL", State.WARN, f"it has {len(pem)} bytes, which slows revoking", remedy)


def whose(issuer: x509.Name, authority: x509.Certificate | None) -> str:
    """Return which CA a CRL is of."""
    names = issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if names else issuer.rfc4514_string() or "without a name"
    if authority is None:
        return f"another CA, {name}"
    kind = "root" if authority.issuer == issuer else "intermediate"
    return f"the {kind} CA {name}"


def _unparsable(found: Catalogue) -> Finding:
    """Return one line for all files that Puppet cannot parse."""
    paths = sorted(found.unparsable)
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    what = f"{counted(len(paths), 'file')} that Puppet cannot parse: {', '.join(paths[:NAMED])}"
    remedy = "mend what puppet parser validate FILE shows, or remove it; the classes are missing"
    return Finding("classes", State.WARN, what + more, remedy)


def unused() -> Certname:
    """Return a name that nobody has."""
    return Certname(f"espm-check-{secrets.token_hex(8)}")


def _is_full(context: Context) -> bool:
    return context.config.ca_options.get("ca_scope") == "full"


def _clean(context: Context) -> Finding:
    """Return whether many names may be cleaned at once; of none, nothing is cleaned."""
    nobody: dict[str, list[str]] = {"certnames": []}
    reply = context.ca_server.call(
        "PUT", "/puppet-ca/v1/clean", json=nobody, accept=(200, 403, 404)
    )
    if reply.status == 200:
        what = f"{context.config.certname} may clean many certificates at once"
        return Finding("CA rights", State.OK, what)
    return _kept_out(context, "clean", r'"^/puppet-ca/v1/clean$" (type regex, method put)')


def _kept_out(context: Context, what: str, rule: str) -> Finding:
    return Finding(
        "CA rights",
        State.FAIL,
        f"Puppet Server does not let {context.config.certname} at {what}",
        f"allow it in auth.conf, before the shipped rule: path {rule}; espm_setup --apply does it",
    )


def _program(path: Path, conf: Path) -> Finding:
    """Return whether Puppet Server's command can be run, and read the key that *conf* names."""
    if not os.access(path, os.X_OK):
        remedy = "correct [ca] and its section"
        return Finding("CA rights", State.FAIL, f"{path} cannot be run", remedy)
    needs = puppet_conf.settings(("hostprivkey", "hostcert"), str(conf.parent))
    if closed := [file for file in needs.values() if _is_closed(Path(file))]:
        what = f"{path} cannot read {closed[0]}, which {conf} names"
        remedy = "run espm as Puppet Server's user, or use [ca] backend = http_api"
        return Finding("CA rights", State.FAIL, what, remedy)
    return Finding("CA rights", State.OK, f"{path} can be run")


def _is_closed(path: Path) -> bool:
    """Return whether a file may not be read; one that is not there is none of ours to judge."""
    try:
        path.open("rb").close()
    except OSError as error:
        return isinstance(error, PermissionError)
    return False


def _blocks(pem: bytes) -> list[bytes]:
    end = b"-----END X509 CRL-----"
    return [part + end for part in pem.split(end)[:-1]]
