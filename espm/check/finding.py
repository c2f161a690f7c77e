"""What a check works on, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from espm import compose
from espm.puppet_http import PuppetHttp

if TYPE_CHECKING:
    from espm.config import Config
    from espm.ports import CertificateAuthority, ClassCatalogue, Classifier


class State(StrEnum):
    """How it is; only FAIL makes the exit code 1.  SKIP: what it needs has failed already."""

    OK = "ok"
    SKIP = "skip"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the screen.

    :ivar subject: what was looked at, in one or two words.
    :ivar what: how it is.
    :ivar remedy: what to do about it; empty where there is nothing to do.
    """

    subject: str
    state: State
    what: str
    remedy: str = ""


def counted(number: int, noun: str) -> str:
    """Return *number* with *noun*, which takes an "s" unless there is one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


class Context:
    """The configuration and what it leads to, each part connected when it is first asked for.

    :ivar told: what the helpers of old Puppet have told of the settings, by host and program.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.told: dict[tuple[object, ...], Mapping[str, str]] = {}

    @cached_property
    def ca(self) -> CertificateAuthority:
        """The CA."""
        return compose.certificate_authority(self.config)

    @cached_property
    def classifier(self) -> Classifier:
        """The ENC."""
        return compose.classifier(self.config)

    @cached_property
    def catalogue(self) -> ClassCatalogue:
        """The classes."""
        return compose.class_catalogue(self.config)

    @cached_property
    def ca_server(self) -> PuppetHttp:
        """The CA server's HTTP API."""
        return PuppetHttp(self.config.access.ca_url, self.config.access)

    @cached_property
    def enc_directory(self) -> Path | None:
        """The directory of the ENC's documents, where the classifier has one."""
        directory = self.config.classifier_options.get("directory")
        return Path(directory) if directory else None


Check: TypeAlias = Callable[[Context], Iterator[Finding]]
"""Looks at one thing and yields what it finds; any EspmError it raises becomes a FAIL."""
