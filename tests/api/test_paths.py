"""Paths over raw sockets, where no client library puts them straight before espm sees them."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from tests.api.platform import PSK
from tests.api.wire import read_all

if TYPE_CHECKING:
    from tests.api.platform import Client, Espm

NAME = "web1.example.com"

PATHS = [
    "/v1/nodes/../../../etc/passwd",
    "/v1/nodes/%2e%2e/%2e%2e/etc/passwd",
    "/v1/nodes/..%2f..%2fetc%2fpasswd",
    "/v1/nodes/%252e%252e%252f",
    f"/v1/nodes/{NAME}%2fcertificate",
    f"/v1/nodes/{NAME}%00",
    f"/v1/nodes/{NAME}%0d%0aX-Evil:%20b",
    f"/v1/nodes/{NAME}/../{NAME}",
    f"/v1/nodes/{NAME}/",
    f"/v1/nodes//{NAME}",
    f"/v1/nodes/{NAME.upper()}",
    f"/v1/nodes/{NAME};a=b",
    f"/V1/nodes/{NAME}",
    f"//v1/nodes/{NAME}",
    "/problems/..%2f..%2f..%2fetc%2fpasswd",
    f"/problems/../v1/nodes/{NAME}",
    f"/healthz/../v1/nodes/{NAME}",
    f"/./v1/nodes/{NAME}",
]


def ask(espm: Espm, method: str, path: str) -> bytes:
    """Return all that comes back for a request with a good key and this path, as it stands."""
    context = ssl.create_default_context(cafile=espm.ca_file)
    host, port = espm.url.removeprefix("https://").split(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as sock,
    ):
        key = f"Authorization: Bearer {PSK}"
        head = f"{method} {path} HTTP/1.1\r\nHost: espm\r\n{key}\r\nConnection: close\r\n\r\n"
        sock.sendall(head.encode())
        return read_all(sock)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_path_means_what_it_says_and_nothing_else(espm: Espm, cloud: Client, method: str) -> None:
    """No dots, encoded slashes or odd spellings lead to a node or out of the API."""
    assert cloud.add(NAME).status_code == 201
    answers = {path: ask(espm, method, path) for path in PATHS}

    assert {path: a[9:12] for path, a in answers.items() if a[9:12] not in {b"404", b"405"}} == {}
    assert not [path for path, answer in answers.items() if b"\r\nX-Evil" in answer]
    assert cloud.get(f"/v1/nodes/{NAME}").json()["state"] == "active"
    assert ask(espm, method, f"/v1/nodes/{NAME}")[9:12] in {b"200", b"204"}
