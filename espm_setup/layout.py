"""Where everything of one espm is, and what is in the way of making it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from espm.classifier.directory import MARKER
from espm_setup.errors import InTheWay, SetupError
from espm_setup.files import in_the_way
from espm_setup.ledger import file_of

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of one espm.

    :ivar directory: of the configuration file.
    :ivar certificates: of all certificates and keys.
    :ivar enc: the documents for Puppet.
    :ivar ledger_url: where the ledger is, as SQLAlchemy writes it.
    :ivar groups: the administrator's groups file.
    """

    directory: Path
    certificates: Path
    enc: Path
    ledger_url: str
    groups: Path

    @classmethod
    def of(cls, args: argparse.Namespace) -> Self:
        """Return the places that the command line asks for.

        :raises espm_setup.errors.SetupError: the ledger's URL has a password in it.
        """
        # In 2012's /opt/espm/etc, data goes beside etc; elsewhere it stays together.
        base = args.directory.parent if args.directory.name == "etc" else args.directory
        return cls(
            args.directory,
            args.certificates,
            args.enc_directory or base / "enc",
            _ledger_url(args.ledger) if args.ledger else f"sqlite:///{base / 'var/ledger.db'}",
            args.groups_file or args.directory / "groups.yaml",
        )

    @property
    def ini(self) -> Path:
        """The configuration file."""
        return self.directory / "espm.ini"

    @property
    def server_certificate(self) -> Path:
        """The certificate that platforms see."""
        return self.certificates / "espm.pem"

    @property
    def server_key(self) -> Path:
        """Its key."""
        return self.certificates / "espm.key"

    @property
    def client_certificate(self) -> Path:
        """The certificate that Puppet Server sees."""
        return self.certificates / "puppet.pem"

    @property
    def client_key(self) -> Path:
        """Its key."""
        return self.certificates / "puppet.key"

    @property
    def ca_file(self) -> Path:
        """The CA certificates of Puppet."""
        return self.certificates / "puppet-ca.pem"

    @property
    def ledger(self) -> Path | None:
        """The SQLite file of the ledger, if it is one."""
        return file_of(self.ledger_url)

    def check(self, *, create: bool, enc: bool = True) -> None:
        """Return when a first setup would overwrite nothing and miss nothing.

        :param create: whether missing directories will be made.
        :param enc: whether the ENC's directory will be.
        :raises espm_setup.errors.InTheWay: otherwise; it names all files.
        """
        files = [
            *(self.ini, self.server_certificate, self.server_key),
            *(self.client_certificate, self.client_key, self.ca_file),
        ]
        if found := [path for path in files if path.exists() or path.is_symlink()]:
            raise InTheWay(in_the_way(found))
        if enc and self.enc.exists() and not _is_enc(self.enc):
            msg = f"{self.enc} exists and is not espm's; choose another with --enc-directory"
            raise InTheWay(msg)
        wanted = dict.fromkeys((self.directory, self.certificates))
        missing = [path for path in wanted if not path.is_dir()]
        if missing and not create:
            names = " ".join(map(str, missing))
            msg = f"missing: {names}; make it with 'mkdir -p {names}', or add --create"
            raise InTheWay(msg)


def _is_enc(path: Path) -> bool:
    return path.is_dir() and ((path / MARKER).exists() or not any(path.iterdir()))


def _ledger_url(url: str) -> str:
    if urlsplit(url).password is not None:
        msg = (
            "the ledger's password does not belong into a command line, where others can read it: "
            "leave it out, and use ~/.pgpass of espm's user, or add it to the file afterwards"
        )
        raise SetupError(msg)
    return url
