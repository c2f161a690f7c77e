"""fail2ban finds the lines of failed authentications in espm's log, and nothing else."""

from __future__ import annotations

import configparser
import io
import logging
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espm import log
from espm.api.auth import Keyring
from espm.api.failures import PACE
from espm.errors import Unauthenticated
from tests.conftest import absent

if TYPE_CHECKING:
    from collections.abc import Iterator

ETC = Path(__file__).parents[2] / "etc" / "fail2ban"
FILTER = ETC / "filter.d" / "espm.conf"

# As fail2ban 1.0 has them: what it calls <ADDR>, and the elements of its dates.
ADDRESS = (
    r"(?P<address>(?:\d{1,3}\.){3}\d{1,3}"
    r"|(?:[0-9a-fA-F]{1,4}::?|:){1,7}(?:[0-9a-fA-F]{1,4}|(?<=:):?)?)"
)
DATE = {"%%d": r"\d\d", "%%b": "[A-Z][a-z]{2}", "%%Y": r"\d{4}", "%%H": r"\d\d", "%%M": r"\d\d",
        "%%S": r"\d\d"}  # fmt: skip

STAMP = "[21/Nov/2026:04:20:35]"
LINE = f"{STAMP} WARNING espm.api.auth 98efb124 authentication failed from 192.0.2.7"


def definition(path: Path, section: str) -> configparser.SectionProxy:
    """Return a section of one of fail2ban's files."""
    parser = configparser.RawConfigParser()
    parser.read(path)
    return parser[section]


def banned(line: str) -> str | None:
    """Return the address that the filter finds in *line*, as fail2ban does."""
    found = definition(FILTER, "Definition")
    date = found["datepattern"]
    for element, pattern in DATE.items():
        date = date.replace(element, pattern)
    match = re.match(found["failregex"].replace("<ADDR>", ADDRESS), re.sub(date, "", line))
    return match["address"] if match else None


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What espm writes to its log."""
    logger = logging.getLogger("espm")
    before = logger.handlers[:], logger.level, logger.propagate
    stream = io.StringIO()
    log.configure(stream=stream)
    yield stream
    logger.handlers[:], logger.level, logger.propagate = before


def fail(address: str) -> None:
    """Call with a wrong key from *address*."""
    with pytest.raises(Unauthenticated):
        Keyring([]).authenticate("Bearer wrong", address)


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7", "2001:db8:1:2:3:4:5:6"])
def test_a_failure_is_found_in_the_real_log(written: io.StringIO, address: str) -> None:
    """The filter fits the line that espm really writes."""
    token = log.request_id.set("a.-_9" * 12)
    fail(address)
    log.request_id.reset(token)

    assert banned(written.getvalue().removesuffix("\n")) == address


def test_a_failure_is_found_in_the_journal() -> None:
    """There the host and the program come first, and the time is not taken out."""
    assert banned(f"puppet.example.com espm[4711]: {LINE}") == "192.0.2.7"


@pytest.mark.parametrize(
    "text",
    [
        LINE,
        f"\n{LINE}",
        f"\r\n{LINE}",
        f"\u2028{LINE}",
        f"x WARNING espm.api.auth a authentication failed from 192.0.2.7\n{LINE}",
        f"host espm[1]: {LINE}",
        f"{'x' * 60000}\n{LINE}",
        f"{'x' * 47000}{LINE}",
    ],
)
@pytest.mark.parametrize("logger", ["espm.api.app", "espm.api.problem", "espm.server.exchange"])
def test_nobody_else_can_be_banned_by_a_text_in_a_request(
    written: io.StringIO, logger: str, text: str
) -> None:
    """Whatever stands in a path, a header or a body: no line of another kind is found."""
    logging.getLogger(logger).warning('192.0.2.1 - "%s %s" 404 1 ms', text, text)
    with pytest.raises(KeyError) as caught:
        dict[str, str]()[text]
    logging.getLogger(logger).error("%s", text, exc_info=caught.value)

    lines = written.getvalue().splitlines()
    assert [banned(line) for line in lines] == [None] * len(lines)
    # journald begins a new line after 48 KiB.
    assert max(map(len, lines)) < 48 * 1024


@given(st.text())
def test_no_text_is_found(text: str) -> None:
    """Whatever a caller sends, behind the head of a line it bans nobody."""
    record = logging.LogRecord("espm.api.app", logging.INFO, "", 0, "%s", (text + LINE,), None)

    assert banned(log.Formatter().format(record)) is None


def test_espm_writes_as_many_lines_as_the_jail_needs() -> None:
    """The limit of espm is above that of fail2ban, so whoever goes on is banned."""
    jail = definition(ETC / "jail.d" / "espm.conf", "espm")

    assert int(jail["maxretry"]) <= PACE.most
    assert jail["filter"] == FILTER.stem
    assert jail["findtime"] == "10m"
    assert PACE.seconds <= 600


def test_fail2ban_itself_reads_the_filter(written: io.StringIO, tmp_path: Path) -> None:
    """Debian's fail2ban-regex finds the failures and only them."""
    program = shutil.which("fail2ban-regex")
    if program is None:
        absent("fail2ban is not installed")
    fail("192.0.2.7")
    logging.getLogger("espm.api.app").info('192.0.2.1 - "GET /%s" 404 1 ms', LINE)
    fail("2001:db8::7")
    file = tmp_path / "espm.log"
    file.write_text(written.getvalue())
    ran = subprocess.run(
        [program, "--out", "ip", str(file), str(FILTER)],
        check=True,
        capture_output=True,
        text=True,
    )

    assert ran.stdout.split() == ["192.0.2.7", "2001:db8::7"]
