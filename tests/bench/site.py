"""What benchmarks run against: a private Puppet Server, and the daemon set up beside it."""

from __future__ import annotations

import json
import ssl
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.bench.calls import Caller, puppet_context
from tests.live.credentials import new_request
from tests.live.lab import Lab
from tests.live.stack import Stack, own_name
from tests.torture.retirement import open_for_healing

if TYPE_CHECKING:
    from collections.abc import Iterator

API = "/puppet-ca/v1"
TEXT = {"Content-Type": "text/plain"}
JSON = {"Content-Type": "application/json"}

#: What Debian's package starts Puppet Server with: /etc/default/puppetserver, JAVA_ARGS.
JVM = ("-Xms1g", "-Xmx1g")

_numbers = count(1)


def names(kind: str, number: int) -> list[str]:
    """Return certnames that nobody had before."""
    run = next(_numbers)
    return [f"{kind}{run}-{each}.bench.example.com" for each in range(number)]


@dataclass
class Site:
    """A Puppet Server and the espm beside it, ``ca_scope = full``."""

    lab: Lab
    stack: Stack

    def espm(self) -> Caller:
        """Return a new client of espm."""
        context = ssl.create_default_context(cafile=str(self.stack.root / "espm.pem"))
        headers = {"Authorization": f"Bearer {self.stack.printed.psk}", **JSON}
        return Caller(f"https://localhost:{self.stack.port}", context, headers)

    def puppet(self) -> Caller:
        """Return a new client of Puppet Server, as an administrator."""
        lab = self.lab
        return Caller(lab.url, puppet_context(lab.ca_file, lab.admin_cert, lab.admin_key), {})


@contextmanager
def site(*options: str, ca: str = "http_api") -> Iterator[Site]:
    """Start both, end both, leave nothing.

    :param options: of ``espm_setup``; by default those of ``ca_scope = full`` where that is a way.
    :param ca: which backend.
    """
    with TemporaryDirectory(prefix="espm-bench-") as name:
        root = Path(name)
        root.chmod(0o755)
        _spread(root)
        lab_root, espm_root = root / f"lab-{root.name}", root / f"espm-{root.name}"
        with Lab(lab_root, jvm=JVM) as lab:
            open_for_healing(lab)
            chosen = options
            if ca == "http_api" and not options:
                chosen = ("--ca-scope", "full")
            with Stack(lab, espm_root, ca=ca, options=(*chosen, *own_name())) as stack:
                if ca == "puppetserver_ca":
                    _open_key(lab)
                yield Site(lab, stack)


def _open_key(lab: Lab) -> None:
    """Let every user read the server's key, as only Puppet Server's own can otherwise.

    To be called when Puppet has been run for the last time, for root's closes it again.
    """
    keys = lab.root / "ssl/private_keys"
    for path in (keys.parent, keys, *keys.iterdir()):
        path.chmod(0o755)


def _spread(root: Path) -> None:
    """Have the directories that come into *root* placed apart, as those of a real server are.

    ext4 without a journal looks, for a new file, at each inode that was freed lately among those of
    the directory's block group (``recently_deleted``).  The CA frees two with each certificate, and
    a run before ours all that it had.  The group goes by the directory's name, so each run has
    names of its own.
    """
    with suppress(FileNotFoundError):
        # Where the file system knows no such attribute, it has no such groups either.
        subprocess.run(["chattr", "+T", root], check=False, capture_output=True)


def csr(certname: str) -> bytes:
    """Return a CSR of a new key."""
    return new_request(certname)[1]


def bare_launch(caller: Caller, certname: str, request: bytes) -> None:
    """Get a certificate by the CA's three calls: submit, sign, fetch."""
    caller.call("PUT", f"{API}/certificate_request/{certname}", request, expect=200, headers=TEXT)
    wish = '{"desired_state": "signed"}'
    caller.call("PUT", f"{API}/certificate_status/{certname}", wish, expect=204, headers=JSON)
    caller.call("GET", f"{API}/certificate/{certname}", expect=200)


def launch(caller: Caller, certname: str, request: bytes | None = None) -> None:
    """Add a node with a certificate, by espm's key or the node's own."""
    wanted = {"csr": request.decode()} if request else {}
    body = json.dumps({"certname": certname, "certificate": wanted})
    caller.call("POST", "/v1/nodes", body, expect=201)


def retire(caller: Caller, certname: str) -> None:
    """Delete a node and wait until its revocation is proved."""
    headers = {"Prefer": "wait=60"}
    caller.call("DELETE", f"/v1/nodes/{certname}", expect=204, headers=headers)
