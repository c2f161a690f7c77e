"""Clients that mean harm, as a process of their own: ``attack.py KIND PORT CONNECTIONS ADDRESSES``.

Each connection that the server closes is opened again at once, for as long as the process lives.
A line on standard output says that it has begun in earnest.  The kinds are the functions whose
only parameter is a stream.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import sys

START = b"POST /v1/nodes HTTP/1.1\r\nHost: espm\r\nX-Slow: "
WRONG = b"GET /v1/nodes HTTP/1.1\r\nHost: espm\r\nAuthorization: Bearer wrong\r\n\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: espm\r\n\r\n"

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def silent(stream: Stream) -> None:
    """Connect and say nothing, not even a hello of TLS."""
    await stream[0].read(1)


async def drip(stream: Stream) -> None:
    """Send the head of a request, an octet at a time."""
    stream[1].write(START)
    while not stream[0].at_eof():
        await asyncio.sleep(0.2)
        stream[1].write(b"X")


async def leave(_stream: Stream) -> None:
    """Leave after the handshake."""


async def garbage(stream: Stream) -> None:
    """Send what is no request."""
    stream[1].write(b"GARBAGE\r\n\r\n")
    await stream[0].read()


async def guess(stream: Stream) -> None:
    """Send one wrong key after the other on one connection."""
    while True:
        stream[1].write(WRONG)
        head = (await stream[0].readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        length = next(line for line in head if line.startswith(b"content-length:"))
        await stream[0].readexactly(int(length.split(b":")[1]))


async def guess_once(stream: Stream) -> None:
    """Send one wrong key."""
    stream[1].write(WRONG)
    await stream[0].readline()


async def deaf(stream: Stream) -> None:
    """Ask again and again, and read no answer."""
    while not stream[1].is_closing():
        stream[1].write(HEALTH * 100)
        await stream[1].drain()
        # Draining alone lets nobody else have a turn, not even the news that the server closed.
        await asyncio.sleep(0.01)


KINDS = {each.__name__: each for each in (silent, drip, leave, garbage, guess, guess_once, deaf)}


def trusting_anybody() -> ssl.SSLContext:
    """Return a context that looks at no certificate."""
    made = ssl.create_default_context()
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


class Attack:
    """All connections of an attack.

    :ivar tried: is set when as many as there are have been opened, or were refused.
    """

    def __init__(self, kind: str, port: int, connections: int) -> None:
        self._kind = kind
        self._port = port
        self._left = connections
        self._tls = None if kind == "silent" else trusting_anybody()
        self.tried = asyncio.Event()

    async def go_on(self, address: str) -> None:
        """Attack from *address* with one connection at a time, for ever."""
        while True:
            try:
                await self._once(address)
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.05)

    async def _once(self, address: str) -> None:
        sock = socket.socket()
        # What is not read stays with the server.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(0)
        sock.bind((address, 0))
        name = "espm" if self._tls else None
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._port))
            stream = await asyncio.open_connection(
                sock=sock, limit=1024, ssl=self._tls, server_hostname=name
            )
        finally:
            self._count()
        try:
            await KINDS[self._kind](stream)
        finally:
            stream[1].transport.abort()

    def _count(self) -> None:
        self._left -= 1
        if not self._left:
            self.tried.set()


def address(number: int) -> str:
    """Return the address of that number: 127.0.1.1, 127.0.1.2 and so on."""
    return f"127.0.{1 + number // 250}.{1 + number % 250}"


async def main(kind: str, port: int, connections: int, addresses: int) -> None:
    """Attack for ever."""
    attack = Attack(kind, port, connections)
    async with asyncio.TaskGroup() as group:
        for number in range(connections):
            group.create_task(attack.go_on(address(number % addresses)))
        await attack.tried.wait()
        sys.stdout.write("attacking\n")
        sys.stdout.flush()


if __name__ == "__main__":
    logging.disable()
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
