"""Log lines: one form, one line for each message whatever is in it, one id for each request."""

from __future__ import annotations

import io
import logging
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espm import log
from espm.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Iterator

STAMP = r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d\]"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the messages go for this test."""
    names = ("espm", "cherrypy.error")
    before = {
        name: (each.handlers[:], each.level, each.propagate)
        for name in names
        for each in [logging.getLogger(name)]
    }
    written = io.StringIO()
    log.configure(stream=written)
    yield written
    for name, (handlers, level, propagate) in before.items():
        logger = logging.getLogger(name)
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


def _format(message: str, *args: object) -> str:
    record = logging.LogRecord("espm.x", logging.INFO, "", 0, message, args, None)
    return log.Formatter().format(record)


def _format_failure(error: Exception) -> str:
    info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("espm.x", logging.ERROR, "", 0, "it broke", (), info)
    return log.Formatter().format(record)


def test_a_line_has_its_form() -> None:
    """Time, level, module, request id, message."""
    assert re.fullmatch(STAMP + r" INFO espm\.x - all well", _format("all %s", "well"))


def test_a_line_has_the_id_of_its_request() -> None:
    """Whatever is logged while a request is worked on names it."""
    token = log.request_id.set("req-7")
    try:
        assert " espm.x req-7 hello" in _format("hello")
    finally:
        log.request_id.reset(token)


@pytest.mark.parametrize("value", ["\n[forged]", "\n  forged", "\nTraceback", "\r\n", "\x1b[31m"])
def test_a_value_cannot_begin_a_line(value: str) -> None:
    """Control characters are written as escapes, so that nobody forges or colours lines."""
    line = _format("path %s", value)

    assert line.endswith("path " + value.encode("unicode_escape").decode())
    assert line.isprintable()


@given(st.text())
def test_a_message_is_one_line(value: str) -> None:
    """Whatever is in it, also by the rules of Unicode."""
    assert len(_format("%s", value).splitlines()) == 1


@given(st.text())
def test_a_traceback_stays_below_its_line(value: str) -> None:
    """Each of its lines is indented, also those of an exception that quotes others."""
    with pytest.raises(KeyError) as caught:
        dict[str, str]()[value]
    first, *rest = _format_failure(ValueError(value).with_traceback(caught.tb)).splitlines()

    assert re.match(STAMP, first)
    assert rest[0] == "  Traceback (most recent call last):"
    assert all(line.startswith("  ") for line in rest)


def test_the_bus_keeps_its_form(stream: io.StringIO) -> None:
    """CherryPy has stamped its messages already."""
    logging.getLogger("cherrypy.error").info("[time] ENGINE Bus STARTED")

    assert stream.getvalue() == "[time] ENGINE Bus STARTED\n"


def test_configuring_twice_prints_once(stream: io.StringIO) -> None:
    """A message is one line, however often logging was configured; debugging is left out."""
    log.configure(stream=stream)
    logging.getLogger("espm.any").warning("once")
    logging.getLogger("espm.any").debug("never")

    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("WARNING espm.any - once\n")


class Clock:
    """A clock that tests set."""

    now = 1000.0

    def __call__(self) -> float:
        """Return its time."""
        return self.now


@pytest.fixture
def request_of_a_stranger() -> Iterator[None]:
    """Let this thread work on a request of somebody without a key."""
    token = log.stranger.set(True)
    yield
    log.stranger.reset(token)


def _bounded(stream: io.StringIO, clock: Clock) -> logging.Logger:
    """Return a logger whose lines about strangers have a pace of three in ten seconds."""
    log.configure(stream=stream)
    logger = logging.getLogger("espm")
    bound = log.Bound(Pace(3, 10.0), ("espm.api.auth",), clock)
    logger.handlers[0].filters[:] = [bound]
    return logger


def test_strangers_write_a_bounded_log(stream: io.StringIO, request_of_a_stranger: None) -> None:
    """Lines over the pace are left out, and the next one says how many they were."""
    clock = Clock()
    logger = _bounded(stream, clock)
    for _ in range(1000):
        logger.info("hello")
    clock.now += 10.0
    logger.info("again")
    lines = [line.partition(" - ")[2] for line in stream.getvalue().splitlines()]

    assert lines == [
        *["hello"] * 3,
        "997 lines about requests without a known key were left out",
        "again",
    ]


def test_failed_authentications_have_a_bound_of_their_own(
    stream: io.StringIO, request_of_a_stranger: None
) -> None:
    """A flood of other requests hides them from nobody, nor they the others."""
    logger = _bounded(stream, Clock())
    for _ in range(10):
        logger.info("noise")
        logger.getChild("api.auth").warning("failed")

    assert stream.getvalue().count("noise") == 3
    assert stream.getvalue().count("failed") == 3


def test_platforms_and_espm_itself_write_what_they_must(stream: io.StringIO) -> None:
    """The bound is for those who have shown no key."""
    logger = _bounded(stream, Clock())
    for _ in range(100):
        logger.info("hello")

    assert stream.getvalue().count("hello") == 100
