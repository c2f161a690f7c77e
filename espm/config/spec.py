"""What may stand in espm's ini file: the sections that are always there, and the backends' own.

A line of a specification is a configspec line, with a comment above that says what the key
means; the comment ends up in messages, in ``etc/espm.ini.example`` and in the documentation.  The
sections of the backends are written by the backends themselves (their ``SPEC``), with the checks
of the ``validate`` module and those of :data:`espm.config.checks.CHECKS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from configobj import ConfigObj
from configobj.validate import Validator

from espm.config.checks import CHECKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

#: Which module is behind which name, per port; the name is also that of the backend's section.
BACKENDS: dict[str, dict[str, str]] = {
    "ca": {
        "http_api": "espm.ca.http_api",
        "puppetserver_ca": "espm.ca.puppetserver_ca",
        "puppet_cert": "espm.ca.puppet_cert",
    },
    "classifier": {
        "builtin": "espm.classifier.builtin",
        "dashboard": "espm.classifier.dashboard",
    },
}

#: Which module knows the classes that Puppet has, by the name of the classifier.
CATALOGUES = {
    "builtin": "espm.catalogue.environment_classes",
    "dashboard": "espm.catalogue.dashboard",
}

SPEC = """
[server]
# Address that espm listens on; "::" for every address, IPv6 included.
host = address(default="0.0.0.0")
# Port that espm listens on (1 to 65535).
port = integer(min=1, max=65535, default=8443)
# Absolute path of the server's certificate (PEM, with its chain, if any).
certificate = path()
# Absolute path of the server's private key (PEM), which only espm's user and root may read; or
# credential:NAME, for one that systemd hands over.
private_key = key()
# Requests that are worked on at the same time (4 to 512).
threads = integer(min=4, max=512, default=64)
# Connections that are open at the same time (16 to 8192).
connections = integer(min=16, max=8192, default=512)
# Connections of one address that have not authenticated; more behind a proxy or a NAT.
strangers_per_peer = integer(min=1, max=8192, default=256)
# Port of 127.0.0.1 for /metrics, /healthz and /readyz by plain HTTP, without a key; 0 for none.
metrics_port = integer(min=0, max=65535, default=0)

[platforms]
# A section for each cloud platform that may call, by name (a-z, 0-9, "_" and "-").
[[__many__]]
# SHA-256 of the platform's preshared key (64 hex digits); two, the new one first, while a key is
# being changed.
psk_sha256 = digests()
# Until when the second is accepted (UTC, as in 2026-11-26T20:00:00Z); empty for no end.
old_psk_until = moment(default="")
# Globs of the certnames it may use.
certnames = certname_globs(default=list("*"))
# Globs of the groups it may put nodes into; a lone comma for none.
groups = globs(default=list("*"))
# Globs of the classes it may give to nodes; a lone comma for none.
classes = class_globs(default=list("*"))
# Globs of the environments it may name.
environments = environment_globs(default=list("production"))
# Networks that it calls from (CIDR), or * for everywhere.
networks = networks(default=list("*"))
# Globs of the extension requests its CSRs may have (short names or OIDs); none by default.
extensions = extension_globs(default=list())

[ledger]
# SQLAlchemy URL of the ledger: sqlite:////absolute/path or postgresql+psycopg://user@host/name.
url = ledger_url(default="sqlite:////opt/espm/var/ledger.db")

[puppet]
# URL of the compile server, for example https://puppet.example.com:8140.
url = optional_https_url(default="")
# URL of the CA server; empty when it is the compile server.
ca_url = optional_https_url(default="")
# Absolute path of espm's own client certificate (PEM), signed by Puppet's CA.
certificate = optional_path(default="")
# Absolute path of the client certificate's private key (PEM), unreadable for others.
private_key = optional_path(default="")
# Absolute path of the CA bundle that vouches for Puppet's servers (PEM).
ca_file = optional_path(default="")
# Seconds that one call to Puppet may take as a whole.
timeout = seconds(1, 600, default=60)
# Absolute path of the directory of puppet.conf on this host, for "espm check"; empty for the
# places where packages have it.
confdir = optional_path(default="")
# Further certnames that are never a node's; the servers' and espm's own are added by themselves.
reserved = names(default=list())

[ca]
# How espm reaches Puppet's CA: {ca}.
backend = option({ca}, default="http_api")
# Type of the keys that espm makes: ec (P-256), rsa (3072 bits), rsa2048, or auto, which is rsa2048
# with the backend puppet_cert, for old agents know RSA only, and ec with the others.
key_type = option("auto", "ec", "rsa", "rsa2048", default="auto")
# Absolute path of ca_crl.pem, needed where the CA serves the infrastructure CRL; else empty.
crl_file = optional_path(default="")
# Absolute path of the CA's directory of signed certificates on this host, if espm's user may write
# there: then revocations that the CA loses can be made good. Else empty.
signed_dir = optional_path(default="")
# Absolute path of the CA's directory of CSRs that wait on this host, if espm's user may write
# there: then CSRs are handed in without a call. Only for http_api; else empty.
requests_dir = optional_path(default="")
# Absolute path of Puppet Server's ca.conf, to see whether it serves that CRL; else empty.
ca_conf = optional_path(default="")

[classifier]
# How espm tells Puppet what a node is: {classifier}.
backend = option({classifier}, default="builtin")
# Whether classes and parameters that Puppet does not have are refused: yes or no.
check_classes = boolean(default=yes)
# Seconds that Puppet's answer about its classes is used before it is asked again.
classes_cache = seconds(0, 86400, default=300)
"""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the ini file.

    :ivar section: the names of the sections it is in, outermost first.
    :ivar meaning: what it means, one or more sentences.
    :ivar default: the default as it is written in the file; None when the key is required.
    """

    section: tuple[str, ...]
    name: str
    meaning: str
    default: str | None


def backend(port: str, name: str) -> ModuleType:
    """Import and return the module behind the backend *name* of *port* (``ca``, say)."""
    return import_module(BACKENDS[port][name])


def catalogue(classifier: str) -> ModuleType:
    """Import and return the module that knows the classes, for the backend *classifier*."""
    return import_module(CATALOGUES[classifier])


def needs_puppet(ca: str, classifier: str) -> bool:
    """Return whether the backends of these names, or the catalogue, call Puppet over HTTPS."""
    modules = (backend("ca", ca), backend("classifier", classifier), catalogue(classifier))
    return any(getattr(module, "NEEDS_PUPPET", False) for module in modules)


def backend_names() -> Iterator[tuple[str, str]]:
    """Yield each known backend as port and name."""
    for port, names in BACKENDS.items():
        for name in names:
            yield port, name


def specification(backends: Iterable[tuple[str, str]]) -> ConfigObj:
    """Return the parsed specification with the sections of *backends* (port and name)."""
    text = SPEC.format_map({port: _options(names) for port, names in BACKENDS.items()})
    for port, name in backends:
        text += f"\n[{name}]\n{backend(port, name).SPEC}"
    return ConfigObj(text.splitlines(), interpolation=False, list_values=False, _inspec=True)


def keys(spec: ConfigObj) -> Iterator[Key]:
    """Yield every key of *spec* in its order; a platform's section is called ``NAME``."""
    yield from _keys(spec, ())


def validator() -> Validator:
    """Return a validator that knows the checks of the specification."""
    return Validator(CHECKS)


def meaning(section: Any, key: str) -> str:
    """Return the comment above *key* in a *section* of the specification."""
    comments = (line.strip().lstrip("#").strip() for line in section.comments.get(key, ()))
    return " ".join(line for line in comments if line)


def _options(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _keys(section: Any, path: tuple[str, ...]) -> Iterator[Key]:
    for key in section.scalars:
        yield Key(path, key, meaning(section, key), _default(section[key]))
    for name in section.sections:
        yield from _keys(section[name], (*path, "NAME" if name == "__many__" else name))


def _default(check: str) -> str | None:
    """Return the default of *check* as an administrator would write it."""
    try:
        value = validator().get_default_value(check)
    except KeyError:
        return None
    return _written(value)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(value) or ","
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if value not in ("", None) else '""'
