"""What a value of the ini file must look like, beyond the checks that ``validate`` brings.

Each check takes the value as configobj read it (text, or a list because of a comma) and returns
what the configuration is made of, or raises ``ValidateError`` saying what to write instead.  A
value that may be secret is never repeated.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from math import nan
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from configobj.validate import ValidateError

from espm.config.credential import is_credential, located

if TYPE_CHECKING:
    from collections.abc import Callable

#: How a time is written, always in UTC.
MOMENT = "%Y-%m-%dT%H:%M:%SZ"

_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]+")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})", re.ASCII)
_SSH = re.compile(r"ssh://[A-Za-z0-9_][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9._-]*(?::[0-9]{1,5})?")
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_POSTGRESQL = re.compile(r"postgresql\+psycopg://[^\s]+", re.ASCII)


def address(value: Any) -> str:
    """Return *value*, an IP address or a host name."""
    text = _text(value)
    try:
        return str(ip_address(text))
    except ValueError:
        if _HOST.fullmatch(text) and not re.fullmatch(r"[0-9.]+", text):
            return text
    msg = f'"{text}" is neither an IP address nor a host name'
    raise ValidateError(msg)


def host(value: Any) -> str:
    """Return *value*, ``local`` or ``ssh://user@host[:port]``."""
    text = _text(value)
    if text != "local" and not _SSH.fullmatch(text):
        msg = f'"{text}" is neither local nor of the form ssh://user@host or ssh://user@host:22'
        raise ValidateError(msg)
    return text


def path(value: Any) -> str:
    """Return *value*, an absolute path."""
    text = _text(value)
    if not PurePosixPath(text).is_absolute():
        msg = f'"{text}" is not an absolute path; begin it with "/"'
        raise ValidateError(msg)
    return text


def key(value: Any) -> str:
    """Return *value*, an absolute path, or that of the credential of systemd that it names."""
    text = _text(value)
    return located(text) if is_credential(text) else path(text)


def https_url(value: Any) -> str:
    """Return *value*, ``https://host[:port]``, without a slash at its end."""
    text = _text(value).rstrip("/")
    if not _is_https(text):
        msg = f'"{text}" is not a URL of the form https://host:8140'
        raise ValidateError(msg)
    return text


def ledger_url(value: Any) -> str:
    """Return *value*, a database URL that the ledger can use; never repeats it."""
    text = value if isinstance(value, str) else ",".join(value)
    if _POSTGRESQL.fullmatch(text):
        return text
    scheme, _, file = text.partition(":///")
    if scheme == "sqlite" and PurePosixPath(file).is_absolute() and _PRINTABLE.fullmatch(file):
        return text
    msg = (
        "write sqlite:////absolute/path (with four slashes) "
        "or postgresql+psycopg://user:password@host/name; percent-encode what is special in it"
    )
    raise ValidateError(msg)


def digests(value: Any) -> tuple[str, ...]:
    """Return *value*, one or two SHA-256 digests; never repeats them."""
    found = _texts(value)
    if not 1 <= len(found) <= 2 or not all(map(_DIGEST.fullmatch, found)):
        msg = "write one or two SHA-256 digests, 64 lower-case hex digits each, with a comma"
        raise ValidateError(msg)
    if len(set(found)) != len(found):
        msg = "the two digests are the same; write it once"
        raise ValidateError(msg)
    return found


def moment(value: Any) -> datetime | None:
    """Return *value*, a time in UTC; None when it is empty."""
    if value == "":
        return None
    text = _text(value)
    try:
        found = datetime.strptime(text, MOMENT).replace(tzinfo=UTC)
    except ValueError:
        found = None
    # What strptime() takes is more than one can be sure to mean.
    if found is None or f"{found:{MOMENT}}" != text:
        msg = f'"{text}" is not a time in UTC, written like 2026-11-26T20:00:00Z'
        raise ValidateError(msg)
    return found


def networks(value: Any) -> tuple[str, ...]:
    """Return *value*, a list of CIDRs of IPv4 and IPv6, or ``*``."""
    return tuple(_network(item) for item in _texts(value))


def names(value: Any) -> tuple[str, ...]:
    """Return *value*, a list of certnames."""
    return _matching(value, r"[A-Za-z0-9_.-]+", "a certname")


def optional(check: Callable[[Any], str]) -> Callable[[Any], str]:
    """Return a check that takes an empty text, too."""
    return lambda value: "" if value == "" else check(value)


def seconds(value: Any, minimum: str, maximum: str) -> float:
    """Return *value*, a number between *minimum* and *maximum*; ``nan`` is none."""
    text = _text(str(value))
    try:
        number = float(text)
    except ValueError:
        number = nan
    if not float(minimum) <= number <= float(maximum):
        msg = f'"{text}" is not a number of seconds from {minimum} to {maximum}'
        raise ValidateError(msg)
    return number


def globs(characters: str, what: str) -> Callable[[Any], tuple[str, ...]]:
    """Return a check for a list of globs over *characters* (of a regular expression's class)."""
    pattern = rf"[*?\[\]!{characters}]+"
    return lambda value: _matching(value, pattern, f"a glob for {what}")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        msg = 'a comma makes this a list, but one value is wanted; put it in "quotes"'
        raise ValidateError(msg)
    if not _PRINTABLE.fullmatch(value):
        msg = "the value is empty or has control characters in it"
        raise ValidateError(msg)
    return value


def _texts(value: Any) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if "" in items:
        msg = 'the value is empty; write a lone "," for an empty list, or leave the key out'
        raise ValidateError(msg)
    return tuple(_text(item) for item in items)


def _matching(value: Any, pattern: str, what: str) -> tuple[str, ...]:
    items = _texts(value)
    for item in items:
        if not re.fullmatch(pattern, item, re.ASCII):
            msg = f'"{item}" cannot be {what}; a character in it never fits'
            raise ValidateError(msg)
    return items


def _is_https(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port_fits = parts.port != 0
    except ValueError:
        return False
    plain = not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
    return parts.scheme == "https" and bool(parts.hostname) and plain and port_fits


def _network(item: str) -> str:
    if item == "*":
        return item
    try:
        return str(ip_network(item))
    except ValueError:
        pass
    try:
        hint = f"; did you mean {ip_network(item, strict=False)}?"
    except ValueError:
        hint = "; write it like 192.0.2.0/24 or 2001:db8::/32"
    msg = f'"{item}" is not a network{hint}'
    raise ValidateError(msg)


#: The checks by the names that a specification calls them by.
CHECKS: dict[str, Callable[..., Any]] = {
    "address": address,
    "host": host,
    "path": path,
    "key": key,
    "optional_path": optional(path),
    "https_url": https_url,
    "optional_https_url": optional(https_url),
    "ledger_url": ledger_url,
    "digests": digests,
    "moment": moment,
    "networks": networks,
    "names": names,
    "seconds": seconds,
    "globs": _texts,
    "certname_globs": globs("a-z0-9_.-", "certnames, which are lower case"),
    "class_globs": globs("a-z0-9_:-", "classes, which are lower case"),
    "environment_globs": globs("A-Za-z0-9_-", "environments"),
    "extension_globs": globs("A-Za-z0-9_.-", "extensions"),
}
