"""An answer of an HTTP/1.1 server, taken apart as its octets come.

The parser is llhttp, in C; that of Python itself reads the head as if it were a mail, which took
more than all else between the CA's answer and its certificate
(docs/decisions/0028-http-taken-apart-in-c.md).
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

#: How many octets may be beside the body: its head, and what follows the last chunk.
BESIDE = 64 * 1024

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class Garbled(Exception):
    """What came is no answer, or not a whole one."""


class TooLong(Exception):
    """The body has more octets than are taken."""


class Answer:
    """An answer; the parser calls the methods ``on_...``.

    Whoever is done reading closes it.  Parser and answer hold each other, so without that both,
    and a CRL with them, would stay until Python's collector comes by, which may be long after.

    :param longest: how many octets the body may have.
    :ivar whole: whether all of it has come.
    :ivar lasts: whether its connection may be used again.
    :ivar status: once it is whole.
    """

    def __init__(self, longest: int) -> None:
        self.whole = self.lasts = False
        self.status = 0
        self._parser = HttpResponseParser(self)
        # In one piece, which goes back to the system as one; parts would leave holes.
        self._body = bytearray()
        self._longest = longest
        self._beside = BESIDE
        self._begun = self._framed = False

    @property
    def body(self) -> bytes:
        """The body, once it is whole."""
        return bytes(self._body)

    def take(self, octets: bytes) -> None:
        """Take what has come next; nothing more comes when it is empty.

        :raises Garbled: that is not how an answer goes on.
        :raises TooLong: more has come than is taken.
        """
        if not octets:
            self._end()
            return
        try:
            self._parser.feed_data(octets)
        except (HttpParserError, HttpParserUpgrade) as error:
            raise Garbled(str(error)) from error
        self._beside -= len(octets)
        if self._beside < 0:
            msg = "what is beside the body has no end"
            raise Garbled(msg)
        if self._longest < 0:
            raise TooLong

    def close(self) -> None:
        """Take no more; what has come can still be asked for.  Idempotent."""
        vars(self).pop("_parser", None)

    def on_message_begin(self) -> None:
        """Note that something follows what nobody has asked for."""
        if self.whole:
            self.lasts = False

    def on_header(self, name: bytes, _: bytes) -> None:
        """Note whether it is said where the body ends."""
        self._framed = self._framed or name.lower() in _FRAMING

    def on_headers_complete(self) -> None:
        """Note that what comes now is the body."""
        self._begun = not self._is_interim()

    def on_body(self, octets: bytes) -> None:
        """Keep a part of the body."""
        if not self.whole:
            self._longest -= len(octets)
            # As much again for the lengths of chunks.
            self._beside += 2 * len(octets)
            self._body += octets

    def on_message_complete(self) -> None:
        """Note that it is whole, unless the answer itself is still to come (RFC 9110, 15.2)."""
        if not (self.whole or self._is_interim()):
            self.whole, self.lasts = True, self._parser.should_keep_alive()
            self.status = self._parser.get_status_code()

    def _is_interim(self) -> bool:
        status: int = self._parser.get_status_code()
        return status < 200

    def _end(self) -> None:
        """Take the end of the connection for the end of the body, where nothing else says that."""
        if self._framed or not self._begun:
            msg = "the server closed the connection"
            raise Garbled(msg)
        self.whole, self.status = True, self._parser.get_status_code()
