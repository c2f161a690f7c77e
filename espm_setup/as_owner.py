"""Work in directories of espm's user, done as that user even when root runs the setup.

Whoever may write a directory may put a symbolic link where a file is expected, and root would
follow it.  So root changes nothing there itself::

    root ──fork──> child: groups, gid, uid dropped for good ──> work ──┐
      ^                                                                │
      └──────────── result or error, as JSON, through a pipe <─────────┘

What is made belongs to that user from its first moment.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from espm.errors import ConfigError, EspmError
from espm_setup.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from espm.model import Json
    from espm_setup.files import Owner

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def call(owner: Owner, work: Callable[[], Json], *, groups: Collection[int] = ()) -> Json:
    """Return what *work* returns when *owner* does it: in a child if we are root for another.

    :param work: its errors are raised here: those of espm and of the setup and OSError as the
        same kind, any other as SetupError.
    :param groups: what the child is a member of beside *owner*'s primary group.
    :raises espm_setup.errors.SetupError: the child was killed.
    """
    if not owner.other:
        return work()
    ours, theirs = os.pipe()
    # Who is interrupted between the fork and the reading would leave a child behind.
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    child = os.fork()
    if child == 0:
        _work_and_end(owner, work, groups, theirs)
    os.close(theirs)
    return _outcome(owner, _said(child, ours, unblocked))


def _said(child: int, pipe: int, unblocked: Collection[int]) -> bytes:
    """Return all that *child* said; it is gone afterwards, also when we are interrupted."""
    try:
        with os.fdopen(pipe, "rb") as reader:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
            return reader.read()
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        os.waitpid(child, 0)


def _work_and_end(
    owner: Owner, work: Callable[[], Json], groups: Collection[int], pipe: int
) -> NoReturn:
    """Drop to *owner*, work, tell the outcome and end without any of the parent's cleaning up."""
    try:
        with os.fdopen(pipe, "wb") as writer:
            writer.write(json.dumps(_worked(owner, work, groups)).encode())
    finally:
        os._exit(0)


def _worked(owner: Owner, work: Callable[[], Json], groups: Collection[int]) -> Json:
    try:
        _drop_to(owner, groups)
        return {"result": work()}
    except OSError as exc:
        name = None if exc.filename is None else os.fsdecode(exc.filename)
        return {"os": [exc.errno, exc.strerror, name]}
    except BaseException as exc:  # noqa: BLE001 - the parent raises it
        return {"kind": type(exc).__name__, "said": str(exc)}


def _drop_to(owner: Owner, groups: Collection[int]) -> None:
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    os.setgroups(list(groups))
    os.setgid(owner.gid)
    os.setuid(owner.uid)
    os.umask(0o077)
    # The database's library looks for its password file at home.
    with suppress(KeyError):
        os.environ["HOME"] = pwd.getpwuid(owner.uid).pw_dir
    os.chdir("/")


def _outcome(owner: Owner, said: bytes) -> Json:
    if not said:
        msg = f"what was to be done as user {owner.name} ended without a word"
        raise SetupError(msg)
    # JSON, for root trusts nothing that another user says to be more than text.
    outcome = json.loads(said)
    if "result" in outcome:
        return outcome["result"]
    if "os" in outcome:
        raise OSError(*outcome["os"])
    raise _error(outcome["kind"], outcome["said"])


def _error(name: str, said: str) -> Exception:
    kind = next((each for each in _kinds() if each.__name__ == name), None)
    if kind is None:
        return SetupError(f"{name}: {said}")
    return kind(said.split("\n")) if issubclass(kind, ConfigError) else kind(said)


def _kinds() -> list[type[Exception]]:
    """Return all kinds of error that espm and its setup raise on purpose."""
    found: list[type[Exception]] = [EspmError, SetupError]
    for kind in found:
        found += kind.__subclasses__()
    return found
