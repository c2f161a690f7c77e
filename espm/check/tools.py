"""Checks of an old Puppet: root's helper, here or behind ssh, its programs, the CA's files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from espm import host as hosts
from espm import x509
from espm.ca import cert_texts
from espm.check.finding import Finding, State, counted
from espm.errors import BackendError
from espm.puppet_settings import assignments

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from espm.check.finding import Context
    from espm.model.output import Output

_SUDO = (
    "let espm's user run it: espm_setup --apply, or etc/sudoers.d/espm on another host; under "
    "systemd also etc/espm.service.d/old-puppet.conf"
)

#: What to do about words in what the helper, sudo or ssh said; the first that fits.
_REMEDIES = (
    ("sudo", _SUDO),
    ("settings", "correct {tools}.conf there, as etc/espm_tools.conf.example explains it"),
    ("lock", "see who holds it: lslocks, on that host"),
    ("did not end in time", "see what hangs there; limit in {tools}.conf is how long it may take"),
    ("espm_tools", "install it there, root's, with its settings: see docs/setup.md"),
    ("ssh", "correct ssh_key, ssh_known_hosts and ssh_config, and authorized_keys on that host"),
)


def helper(context: Context) -> Iterator[Finding]:
    """Look whether the helper can be run, on each host, and is of this espm's release."""
    for options in _each(context):
        try:
            said = _lines(_call(options, "version"))
        except BackendError as exc:
            yield Finding("old tools", State.FAIL, *_trouble(exc, options))
            continue
        release = f"espm_tools {hosts.RELEASE}"
        where = f"{options['tools']} on {options['host']}"
        if said[:1] != [release]:
            what = f"{where} is not of this espm: it says {' '.join(said[:1]) or 'nothing'}"
            remedy = f"install etc/espm_tools of this espm in its place; it says {release}"
            yield Finding("old tools", State.FAIL, what, remedy)
        else:
            yield Finding("old tools", State.OK, f"{where} can be run")


def puppet_cert(context: Context) -> Iterator[Finding]:
    """Look whether ``puppet cert`` runs, and how many CSRs wait."""
    version = context.ca.version()
    output = _call(context.config.ca_options, "list")
    if found := cert_texts.faults(output):
        what = f"version {version}: puppet cert list fails: {found[0]}"
        remedy = "remove the CSR that cannot be read from ca/requests; one such file hides all"
        yield Finding("puppet cert", State.FAIL, what, remedy)
        return
    number = sum(line.state == " " for line in cert_texts.listed(output))
    waiting = counted(number, "CSR")
    yield Finding("puppet cert", State.OK, f"version {version}; {waiting} waiting at the CA")


def ca_files(context: Context) -> Iterator[Finding]:
    """Look whether the CA's files are there, and where Puppet itself has them."""
    options = context.config.ca_options
    said = settings(context, options)
    ours, puppets = said.get("tools.ssldir", ""), said.get("ssldir", "")
    if ours != puppets:
        what = f"the helper looks at {ours}, but Puppet's ssldir is {puppets or 'not told'}"
        remedy = f"correct confdir and ssldir in {options['tools']}.conf"
        yield Finding("CA files", State.FAIL, what, remedy)
        return
    _call(options, "ping", "ca")
    yield _same_ca(options, f"{ours}/ca")


def after_revoke(context: Context) -> Iterator[Finding]:
    """Look whether the master is told of a new CRL."""
    options = context.config.ca_options
    if command := settings(context, options).get("tools.after_revoke"):
        yield Finding("after revoke", State.OK, f"the master is told of a new CRL by: {command}")
        return
    what = "nothing tells the master of a new CRL, so it may let a retired node in"
    remedy = (
        f"set after_revoke in {options['tools']}.conf, such as 'service pe-httpd restart', unless "
        "the master reads its CRL anew by itself"
    )
    yield Finding("after revoke", State.WARN, what, remedy)


def settings(context: Context, options: Mapping[str, Any]) -> Mapping[str, str]:
    """Return what Puppet says of its settings, and, as ``tools.NAME``, what the helper has.

    :param options: those of the backend whose helper is asked, once for each.
    """
    place = _place(options)
    if place not in context.told:
        context.told[place] = assignments(_call(options, "settings").stdout)
    return context.told[place]


def _same_ca(options: Mapping[str, Any], directory: str) -> Finding:
    """Return whether the command works with the CA whose files the helper reads."""
    told = _call(options, "fingerprint", "ca")
    found = cert_texts.fingerprint(told)
    if not found:
        words = " ".join(cert_texts.said(told).split())[:400]
        what = f"puppet cert tells no fingerprint of its CA: {words}"
        return Finding("CA files", State.FAIL, what, "see what is wrong with the CA's files")
    if found == x509.fingerprint(_call(options, "bundle").stdout):
        what = f"in {directory}, as Puppet says; its own certificate is the command's"
        return Finding("CA files", State.OK, what)
    name = cert_texts.subject(_call(options, "print", "ca")) or "without a subject"
    what = (
        f"puppet cert works with another CA, {name} (SHA-256 {x509.colons(found)}), not with "
        f"that of {directory}/ca_crt.pem"
    )
    remedy = (
        "have cadir of puppet.conf be the directory ca below ssldir, and cacert there, too; espm "
        "takes the CA's files from there"
    )
    return Finding("CA files", State.FAIL, what, remedy)


def _place(options: Mapping[str, Any]) -> tuple[object, ...]:
    return options.get("host"), options.get("tools")


def _each(context: Context) -> Iterator[Mapping[str, Any]]:
    """Yield the options of each helper that the configuration names."""
    seen = []
    for options in (context.config.ca_options, context.config.classifier_options):
        place = _place(options)
        if options.get("tools") and place not in seen:
            seen.append(place)
            yield options


def _call(options: Mapping[str, Any], verb: str, *arguments: str) -> Output:
    return hosts.connect(options).call(verb, *arguments, timeout=options["command_timeout"])


def _lines(output: Output) -> list[str]:
    return output.stdout.decode("utf-8", "replace").splitlines()


def _trouble(error: BackendError, options: Mapping[str, Any]) -> tuple[str, str]:
    """Return what is wrong with the helper, with its own words, and what to do."""
    what = f"{error}: {error.__cause__}" if error.__cause__ else str(error)
    remedy = next((text for word, text in _REMEDIES if word in str(error)), _REMEDIES[-2][1])
    return " ".join(what.split()), remedy.format(**options)
