"""Where everything of a private Puppet Server is."""

from __future__ import annotations

from pathlib import Path

from tests.live import lab_files


class Places:
    """Paths and names of the server in `root` that listens on 127.0.0.1:port."""

    admin_certname = "admin.espm.test"
    certname = lab_files.SERVER

    def __init__(self, root: Path, port: int) -> None:
        self.root = root
        self.port = port
        self.url = f"https://localhost:{port}"
        self.confdir = root / "etc"
        self.puppet_conf = self.confdir / "puppet.conf"
        self.conf_d = root / "conf.d"
        self.auth_conf = self.conf_d / "auth.conf"
        self.codedir = root / "code"
        self.ssldir = root / "ssl"
        self.certdir = self.ssldir / "certs"
        self.cadir = root / "ca"
        self.ca_file = self.certdir / "ca.pem"
        self.admin_cert = self.certdir / f"{self.admin_certname}.pem"
        self.admin_key = self.ssldir / f"private_keys/{self.admin_certname}.pem"
        self.log = root / "log/puppetserver.log"
        self.console = root / "log/console.log"
        self.json_file = root / "lab.json"
        # Puppet Server counts its starts here: how a reload is seen to be over.
        self._restarts = root / "run/restarts"

    def as_dict(self) -> dict[str, str | int]:
        """Return the public names and where they point, for programs in other languages."""
        public = {name: value for name, value in vars(self).items() if name[0] != "_"}
        values = {k: str(v) if isinstance(v, Path) else v for k, v in public.items()}
        return values | {"certname": self.certname, "admin_certname": self.admin_certname}

    def environment(self) -> dict[str, str]:
        """Return the environment of native commands: nothing of ours, a home of their own."""
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(self.root / "home")}

    def log_tail(self, lines: int = 40) -> str:
        """Return the last lines of the server's log and of what it wrote to the console."""
        texts = [p.read_text(errors="replace") for p in (self.log, self.console) if p.exists()]
        return "\n".join("\n".join(text.splitlines()[-lines:]) for text in texts)
