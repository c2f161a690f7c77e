"""A stand-in of the program ``puppet`` of old: its command line, exit statuses and log.

It does what the recorded versions do, lies included (reference facts on old Puppet, 1), on real
X.509 files.  What needs cryptography is loaded when it is needed: the real program takes half a
second to start, this one should not.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from tests.legacy import puppet_settings
from tests.legacy.puppet_options import ACTIONS, Options, parse
from tests.legacy.puppet_speech import Speech
from tests.legacy.puppet_versions import BadOption, Broken, Misused, Refused, Traits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.legacy.puppet_settings import Settings

LOG = "commands.jsonl"
_HELP = "\npuppet-cert(8) -- Manage certificates and requests\n========\n"
_DEPRECATED = (
    "`puppet cert` is deprecated and will be removed in a future release.\n"
    "   (location: /opt/puppetlabs/puppet/lib/ruby/vendor_ruby/puppet/application.rb:370:in `run')"
)


class Program:
    """One run of it.

    :param directory: where the test's file is.
    :param out: takes what goes to stdout; likewise *err*.
    """

    def __init__(
        self, directory: Path, out: Callable[[str], None], err: Callable[[str], None]
    ) -> None:
        self._directory = directory
        self._told = puppet_settings.load(directory)
        self._traits = Traits(self._told["version"])
        self._out = out
        self._err = err

    def run(self, argv: Sequence[str]) -> int:
        """Do what *argv* says, note when it began and ended, and return the exit status."""
        self._note({"argv": list(argv), "start": time.time()})
        time.sleep(self._told["delay"])
        try:
            with warnings.catch_warnings():
                # Names longer or shorter than a CN may be are tried on purpose.
                warnings.simplefilter("ignore", UserWarning)
                status = self._command(argv[0] if argv else "", argv[1:])
        except BadOption as exc:
            status = self._bad_option(str(exc))
        self._note({"end": time.time(), "status": status})
        return status

    def _note(self, what: dict[str, object]) -> None:
        line = json.dumps({"pid": os.getpid(), **what}) + "\n"
        with (self._directory / LOG).open("a") as file:
            file.write(line)

    def _command(self, name: str, rest: Sequence[str]) -> int:
        if name in {"--version", "-V"}:
            self._out(f"{self._traits.number}\n")
            return 0
        if name in {"cert", "master", "config"}:
            options = parse(rest, self._traits)
            settings = puppet_settings.settings(self._directory, self._told, options.values)
            return (
                self._cert(options, settings) if name == "cert" else self._print(options, settings)
            )
        # The text is plausible, not recorded.
        self._err(f"Error: Unknown Puppet subcommand '{name}'\n")
        return 1

    def _bad_option(self, text: str) -> int:
        modern = self._traits.modern
        intro = (
            "Error: Could not parse application options" if modern else "Could not parse options"
        )
        self._err(f"{intro}: {text}\n")
        return 1

    def _print(self, options: Options, settings: Settings) -> int:
        """Print settings: one as a bare value, several as assignments; the form is plausible.

        ``config print`` is taken since 3.x only, for with a section 2.7 does not have it.
        """
        names = [name for name in options.values.get("configprint", "").split(",") if name]
        if options.words[:1] == ["print"]:
            if not self._traits.modern:
                msg = "invalid option: --section"
                raise BadOption(msg)
            names = options.words[1:]
        values = settings.puppet
        for name in names:
            if name not in values:
                self._err(f"invalid parameter: {name}\n")
                return 1
            self._out(f"{name} = {values[name]}\n" if len(names) > 1 else f"{values[name]}\n")
        return 0

    def _cert(self, options: Options, settings: Settings) -> int:
        colour = options.values.get("color") != "false"
        speech = Speech(self._traits, self._out, self._err, colour=colour)
        if self._traits.newest:
            speech.log("warning", _DEPRECATED)
        words = [options.action] if options.action else []
        words += options.words
        if not words:
            self._out(_HELP)
            return 0
        try:
            return self._act(
                words[0], [word.lower() for word in words[1:]], options, settings, speech
            )
        except Misused as exc:
            speech.misused(str(exc))
            return 24
        except (Broken, Refused) as exc:
            # What is refused while the CA is opened is not the action's failure.
            speech.misused(str(exc))
            return 23
        except PermissionError as exc:
            return self._denied(exc, speech)

    def _act(
        self,
        action: str,
        names: Sequence[str],
        options: Options,
        settings: Settings,
        speech: Speech,
    ) -> int:
        if action not in ACTIONS:
            msg = f"Invalid method {action} to apply"
            raise Misused(msg)
        from tests.legacy.puppet_actions import Actions  # noqa: PLC0415 -- slow to load

        return Actions(settings, options, speech, action).apply(action, names)

    def _denied(self, exc: PermissionError, speech: Speech) -> int:
        """Tell that somebody without the rights tried; the reference has parts of the text."""
        if self._traits.modern:
            speech.log("err", f"Permission denied @ rb_sysopen - {exc.filename}")
            return 23
        speech.log("warning", f"/File[{exc.filename}]: Could not stat; permission denied")
        speech.log("err", f"Permission denied - {exc.filename}")
        speech.put("Got 3 failure(s) while initializing: Permission denied")
        return 23


def _writer(descriptor: int) -> Callable[[str], None]:
    def write(text: str) -> None:
        """Write at once, so that who is killed has said what it did."""
        os.write(descriptor, text.encode(errors="surrogateescape"))

    return write


def main() -> int:
    """Be the program: the first argument is the test's directory, the others are Puppet's."""
    out, err = _writer(1), _writer(2)
    return Program(Path(sys.argv[1]), out, err).run(sys.argv[2:])
