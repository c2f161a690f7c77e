"""How an answer is written: as few pieces as it has to be."""

from __future__ import annotations

from typing import Any

from espm.server.answers import Writer


class Socket:
    """Takes all that is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def settimeout(self, seconds: float) -> None:
        """Do nothing."""

    def send(self, data: bytes) -> int:
        """Note *data*."""
        self.sent.append(bytes(data))
        return len(data)


def _writer() -> tuple[Writer, list[bytes]]:
    socket: Any = Socket()
    writer = Writer(socket, 1.0)
    writer.begin()
    return writer, socket.sent


def test_head_and_body_go_out_together() -> None:
    """What is held is sent with what is written next, and nothing is held by itself."""
    writer, sent = _writer()
    writer.hold()
    writer.write(b"head ")
    assert sent == []
    writer.write(b"body")
    writer.write(b" more")

    assert sent == [b"head body", b" more"]


def test_a_head_without_a_body_goes_out_at_the_end() -> None:
    """What is held and followed by nothing is sent when the answer is over."""
    writer, sent = _writer()
    writer.hold()
    writer.write(b"head")
    writer.finish()

    assert sent == [b"head"]
