"""The values of options of ``espm_setup``, as somebody may write them on the command line."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_PLATFORM = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}", re.ASCII)


def path(text: str) -> Path:
    """Return an absolute path.

    :raises argparse.ArgumentTypeError: *text* is not one.
    """
    if not text or any(ord(letter) < 32 for letter in text):
        msg = "a path is wanted"
        raise argparse.ArgumentTypeError(msg)
    return Path(text).absolute()


def address(text: str) -> str:
    """Return an IP address.

    :raises argparse.ArgumentTypeError: *text* is not one.
    """
    try:
        return str(ip_address(text))
    except ValueError:
        msg = f"'{text}' is not an IP address"
        raise argparse.ArgumentTypeError(msg) from None


def port(text: str) -> int:
    """Return a port.

    :raises argparse.ArgumentTypeError: *text* is not one.
    """
    return _number(text, 1, 65535)


def days(text: str) -> int:
    """Return a number of days.

    :raises argparse.ArgumentTypeError: *text* is not one.
    """
    return _number(text, 1, 36500)


def seconds(text: str) -> int:
    """Return a number of seconds.

    :raises argparse.ArgumentTypeError: *text* is not one.
    """
    return _number(text, 1, 86400)


def _number(text: str, least: int, most: int) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not least <= int(text) <= most:
        msg = f"'{text}' is not a number from {least} to {most}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def platform(text: str) -> str:
    """Return the name of a platform.

    :raises argparse.ArgumentTypeError: *text* is not one.
    """
    if not _PLATFORM.fullmatch(text):
        msg = "a platform's name has 1 to 32 characters a-z, 0-9, '_' and '-', no sign first"
        raise argparse.ArgumentTypeError(msg)
    return text


def grace(text: str) -> timedelta:
    """Return a duration such as 24h.

    :raises argparse.ArgumentTypeError: *text* is not one.
    """
    found = re.fullmatch(r"(\d{1,4})([smhd])", text, re.ASCII)
    if text != "0" and not found:
        msg = f"'{text}' is not a duration such as 30m, 24h or 7d, nor 0"
        raise argparse.ArgumentTypeError(msg)
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else timedelta(0)


def items(text: str) -> list[str]:
    """Return the items of a list; a lone comma is a list of none.

    :raises argparse.ArgumentTypeError: an item is empty.
    """
    items = [item.strip() for item in text.removesuffix(",").split(",")]
    if text.strip() != "," and not all(items):
        msg = "an item is empty; a lone comma is a list of none"
        raise argparse.ArgumentTypeError(msg)
    return [item for item in items if item]


def url(text: str) -> str:
    """Return a URL of Puppet's, without a slash at its end.

    :raises argparse.ArgumentTypeError: *text* is not one.
    """
    if not re.fullmatch(r"https://[A-Za-z0-9._\-\[\]:]+/?", text, re.ASCII):
        msg = f"'{text}' is not of the form https://host:8140"
        raise argparse.ArgumentTypeError(msg)
    return text.rstrip("/")
