"""The actions of ``puppet cert``: which hosts, in which order, and what a failure means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.legacy.puppet_authority import Authority
from tests.legacy.puppet_files import Files
from tests.legacy.puppet_list import Roll, digest, printed
from tests.legacy.puppet_speech import inspect
from tests.legacy.puppet_versions import Misused, Refused
from tests.legacy.puppet_x509 import read_certificate, read_csr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.legacy.puppet_options import Options
    from tests.legacy.puppet_settings import Settings
    from tests.legacy.puppet_speech import Speech


class Actions:
    """One command.

    :raises Broken: the CA cannot be used.
    """

    def __init__(self, settings: Settings, options: Options, speech: Speech, action: str) -> None:
        self._traits = settings.traits
        self._options = options
        self._speech = speech
        places = (Path(settings.puppet[name]) for name in ("ssldir", "cadir"))
        files = Files(next(places), settings.traits, next(places))
        local = action in {"generate", "clean"}
        self._authority = Authority(files, settings, speech, local=local)
        self._kind = options.values.get("digest", self._traits.digest)
        self._roll = Roll(self._authority, self._traits, self._kind)
        self._all = "all" if "all" in options.flags else ""
        self._all = "all signed" if "signed" in options.flags else self._all

    def apply(self, action: str, names: Sequence[str]) -> int:
        """Do one action and return its exit status.

        :raises Misused: it makes no sense.
        """
        if not names and not self._all and action != "list":
            self._lacks_hosts(action)
        if action in {"revoke", "clean"} and self._all and self._traits.newest:
            name = "destroy" if action == "clean" else action
            msg = (
                f"Refusing to {name} {self._all} certs, provide an explicit list of certs to {name}"
            )
            raise Misused(msg)
        known: dict[str, Callable[[Sequence[str]], int]] = {
            "clean": self._clean,
            "list": self._list,
            "sign": self._sign,
            "generate": self._generate,
        }
        if action in known:
            return known[action](names)
        each = {"verify": self._verify, "print": self._print, "fingerprint": self._fingerprint}
        work = each.get(action, self._authority.revoke)
        return self._each(action, work, self._hosts(names, pending=action == "fingerprint"))

    def _lacks_hosts(self, action: str) -> None:
        # That clean says revoke in 2.7, where it revokes first, is taken from the source.
        if action == "clean":
            action = "destroy" if self._traits.modern else "revoke"
        everybody = "--all" if self._traits.modern else ":all"
        msg = f"You must provide hosts or {everybody} when using {action}"
        raise Misused(msg)

    def _hosts(self, names: Sequence[str], *, pending: bool = False) -> list[str]:
        if not self._all:
            return list(names)
        waiting = self._authority.files.names("requests") if pending else []
        return self._authority.files.names("signed") + waiting

    def _each(self, action: str, work: Callable[[str], None], names: Iterable[str]) -> int:
        """Do it for each name up to the first that is refused."""
        try:
            for name in names:
                work(name)
        except Refused as exc:
            return self._failed(action, str(exc))
        except OSError as exc:
            # Another command took the file away, or the disk is full: Ruby's text, not recorded.
            return self._failed(action, f"{exc.strerror} - {exc.filename}")
        return 0

    def _failed(self, action: str, text: str) -> int:
        self._speech.failed(action, text)
        return self._traits.failure

    def _clean(self, names: Sequence[str]) -> int:
        """Revoke, then remove: up to 2.7.18 also when revoking failed (trap 3)."""
        hosts = self._hosts(names)
        revoked = hosts
        if self._traits.newest:
            # Who has a CSR is not revoked, so that a CSR alone can be cleaned [source].
            waiting = self._authority.files.names("requests")
            revoked = [host for host in hosts if host not in waiting]
        status = self._each("revoke", self._authority.revoke, revoked)
        return status or self._each("destroy", self._authority.destroy, hosts)

    def _generate(self, names: Sequence[str]) -> int:
        if self._all:
            msg = "It makes no sense to generate all hosts; you must specify a list"
            raise Misused(msg)
        # Only the command line's alternative names count (reference facts on old Puppet, 1.4).
        given = self._options.values.get("dns_alt_names", "")
        asked = [name.strip() for name in given.split(",") if name.strip()]
        return self._each(
            "generate",
            lambda name: self._authority.generate(name, sorted({*asked, name}) if asked else []),
            names,
        )

    def _sign(self, names: Sequence[str]) -> int:
        """Sign; all of them means in the order of the directory, up to one that is refused."""
        # That a CSR which cannot be read stops this as it stops a list is taken from the source.
        try:
            hosts = self._roll.waiting() if self._all else list(names)
        except Refused as exc:
            return self._failed("sign", str(exc))
        if not hosts:
            msg = "No waiting certificate requests to sign"
            raise Misused(msg)
        return self._each("sign", self._sign_one, hosts)

    def _sign_one(self, name: str) -> None:
        allowed = "allow-dns-alt-names" in self._options.flags
        if self._traits.newest:
            self._show_csr(name, allowed=allowed)
        self._authority.sign(name, alt_names_allowed=allowed)

    def _show_csr(self, name: str, *, allowed: bool) -> None:
        path = self._authority.find_csr(name)
        if path is None:
            msg = f"Could not find CSR for: {inspect(name)}."
            raise Refused(msg)
        self._authority.policy(name, read_csr(path), allowed=allowed)
        self._speech.put("Signing Certificate Request for:")
        self._speech.put(self._roll.text(self._roll.entries([name], [name]), self._style()))

    def _style(self) -> str:
        flags = self._options.flags
        if not self._traits.newest:
            return ""
        if "human-readable" in flags:
            return "human"
        return "machine" if flags & {"machine-readable", "verbose"} else ""

    def _list(self, names: Sequence[str]) -> int:
        return self._each("list", lambda _: self._show(names), [""])

    def _show(self, names: Sequence[str]) -> None:
        waiting = self._roll.waiting()
        hosts = self._hosts(names) if names or self._all else waiting
        if self._all == "all":
            hosts = [*hosts, *waiting]
        if hosts:
            self._speech.put(self._roll.text(self._roll.entries(hosts, waiting), self._style()))

    def _verify(self, name: str) -> None:
        if flaw := self._roll.flaw(name):
            raise Refused(flaw)

    def _print(self, name: str) -> None:
        if path := self._authority.find(name):
            self._speech.put(printed(read_certificate(path)))
            return
        msg = f"Could not find certificate for {name}"
        if self._traits.modern:
            raise Refused(msg)
        # Up to 2.7 that is no failure, whatever the exit status of one is.
        self._speech.log("err", msg)

    def _fingerprint(self, name: str) -> None:
        path, csr = self._authority.find(name), self._authority.find_csr(name)
        if not path and not csr:
            # The text up to 2.7 is taken from the source.
            what = "certificate" if self._traits.modern else "a certificate or csr"
            msg = f"Could not find {what} for {name}"
            raise Refused(msg)
        found = digest(name, read_certificate(path) if path else read_csr(csr), self._kind)  # type: ignore[arg-type]
        shown = f"({self._kind.upper()}) {found}" if self._traits.modern else found
        self._speech.put(f"{name} {shown}")
