"""curl, as a person would use it: each call is shown, made, and its answer shown."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from tests.live.narrator import DemoFailed, pretty

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.live.narrator import Narrator
    from tests.live.stack import Stack


class Curl:
    """Calls espm's API by curl and checks the status of each answer."""

    def __init__(self, narrator: Narrator) -> None:
        self._narrator = narrator
        self._url = ""
        self._options: list[str] = []

    def connect(self, stack: Stack) -> None:
        """Use *stack* from now on, with the two values that its espm_setup printed.

        The key goes into a file that only we can read: arguments of curl can be seen by others.
        """
        tell, printed = self._narrator, stack.printed
        self._url = f"https://localhost:{stack.port}"
        self._options = ["-sS", "--insecure", "--pinnedpubkey", printed.pin]
        header = stack.root / "psk"
        header.touch(mode=0o600)
        header.write_text(f"Authorization: Bearer {printed.psk}\n")
        self._options += ["-H", f"@{header}"]
        tell.say("The key goes into a file, as a header, so that no command line shows it:")
        tell.command("(umask 077; read -rs K; printf 'Authorization: Bearer %s\\n' \"$K\" > psk)")
        tell.say("The pin stands for the certificate, so curl needs no authority (--insecure):")
        tell.command(f"URL={self._url}\nAUTH=(--insecure --pinnedpubkey '{printed.pin}' -H @psk)")

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        expect: int,
        header: str = "",
        part: Callable[[Any], Any] = lambda answer: answer,
    ) -> Any:
        """Make one request and return the JSON of its answer, or None.

        :param header: one more header of the request.
        :param part: returns what is shown of the answer.
        :raises tests.live.narrator.DemoFailed: the status is not the expected one.
        """
        verb = "" if (method, body is None) in (("GET", True), ("POST", False)) else f"-X {method} "
        data = [] if body is None else ["--json", json.dumps(body)]
        typed = "" if body is None else f" --json @- <<END\n{pretty(body)}\nEND"
        more = f"-H '{header}' " if header else ""
        self._narrator.command(f'curl "${{AUTH[@]}}" {verb}{more}$URL{path}{typed}')
        data += ["-H", header] if header else []
        told = self._run(["-X", method, *data, "-w", "\n%{http_code}", self._url + path])
        text, _, status = told.rpartition("\n")
        answer = json.loads(text) if text else None
        if answer is not None:
            self._narrator.json(part(answer))
        self._narrator.check(status == str(expect), f"the answer's status is {expect}", status)
        return answer

    def text(self, path: str, pipe: str) -> str:
        """GET a text, show what the command *pipe* makes of it, and return it."""
        self._narrator.command(f'curl "${{AUTH[@]}}" $URL{path} | {pipe}')
        got = self._run([self._url + path])
        done = subprocess.run(
            ["sh", "-c", pipe], input=got, check=False, capture_output=True, text=True
        )
        self._narrator.output(done.stdout + done.stderr)
        return got

    def _run(self, words: list[str]) -> str:
        argv = ["curl", *self._options, "--max-time", "60", *words]
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        if done.returncode:
            message = f"curl failed: {done.stderr.strip()}"
            raise DemoFailed(message)
        return done.stdout
