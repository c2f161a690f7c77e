"""The dashboard's rake tasks, run by the helper on its host, and what their answers mean.

What a task did is told by its words: several end with exit code 0 and did nothing, and the words
differ from version to version (reference facts on old Puppet, 3.3).  Words that nobody knows are
a failure.
"""

from __future__ import annotations

import re
import threading
import time
from enum import Enum, auto
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from espm.errors import BackendRefused, BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from espm.model.output import Output
    from espm.ports.host import Host

#: What the helper ends with when it does not let something through.
REFUSED = 64

#: The first line of rake 0.8.7, which ``-s`` takes away.
_BANNER = re.compile(r"\(in /.*\)")

_ABORTED = "rake aborted!"

#: Words of rake and of the tasks after which trying again does not help.
_HOPELESS = ("Don't know how to build task", "No Rakefile found", "Could not parse", "Must specify")

_DONE = re.compile(r"Node (?:successfully created|(?:\w+) successfully edited for .*)!")
_EXISTS = "Node already exists!"
_MISSING = re.compile(r"Node (?:does not exist|doesn't exist|.* doesn't exist)!")


class TaskFailed(Exception):
    """What a task wrote, for the log."""


class Outcome(Enum):
    """What became of a task about a node."""

    DONE = auto()
    EXISTS = auto()
    MISSING = auto()


class Rake:
    """The dashboard's tasks; for any number of threads, of which one has its turn at a time.

    :param timeout: seconds that one task may take, the wait for its turn included.
    """

    def __init__(self, host: Host, timeout: float) -> None:
        self._host = host
        self._timeout = timeout
        self._tasks: frozenset[str] | None = None

    def names(self, task: str, **values: str) -> tuple[str, ...]:
        """Return what one of the ``list`` tasks lists.

        :raises espm.errors.BackendError: it can't be told.
        """
        output = self._call(task, **values)
        if output.status or _ABORTED in _text(output):
            raise _failure(task, output)
        return tuple(_lines(output.stdout))

    def add(self, name: str, groups: Iterable[str], classes: Iterable[str]) -> Outcome:
        """Add a node with groups and classes that exist: DONE, or EXISTS.

        :raises espm.errors.BackendError: it failed, or it is not known what it did.
        """
        said = {"groups": ",".join(groups), "classes": ",".join(classes)}
        return self._do("node:add", name=name, **{key: text for key, text in said.items() if text})

    def replace(self, what: str, name: str, members: Iterable[str]) -> Outcome:
        """Replace the ``groups`` or ``classes`` of a node: DONE, or MISSING.

        :raises espm.errors.BackendError: as :meth:`add`.
        """
        return self._do(f"node:{what}", name=name, **{what: ",".join(members)})

    def give(self, name: str, parameters: Iterable[tuple[str, str]]) -> Outcome:
        """Give a node parameters that it does not have yet: DONE, or MISSING.

        :raises espm.errors.BackendError: as :meth:`add`.
        """
        text = ",".join(f"{key}={value}" for key, value in parameters)
        return self._do("node:parameters", name=name, parameters=text)

    def delete(self, name: str) -> Outcome:
        """Remove a node: DONE, or MISSING.

        :raises espm.errors.BackendError: as :meth:`add`.
        """
        return self._do("node:del", name=name)

    def class_names(self) -> Names:
        """Return the names of the dashboard's classes, the same ones for all who have its host."""
        with _finding:
            found = _classes.get(self._host)
            if found is None:
                found = _classes[self._host] = Names(lambda: self.names("nodeclass:list"))
        return found

    def tasks(self) -> frozenset[str]:
        """Return the names of the tasks about nodes; they are asked for once.

        :raises espm.errors.BackendError: they can't be told.
        """
        if self._tasks is None:
            task = "tasks"
            output = self._call(task)
            found = frozenset(re.findall(r"^rake (node:\w+)", _text(output), re.MULTILINE))
            if "node:add" not in found:
                raise _failure(task, output)
            self._tasks = found
        return self._tasks

    def _do(self, task: str, **values: str) -> Outcome:
        output = self._call(task, **values)
        for line in _lines(output.stdout + b"\n" + output.stderr):
            if _DONE.fullmatch(line):
                return Outcome.DONE
            if line == _EXISTS:
                return Outcome.EXISTS
            if _MISSING.fullmatch(line):
                return Outcome.MISSING
        if task == "node:del" and output.status == 0 and _ABORTED not in _text(output):
            return Outcome.DONE  # It says nothing when it did it.
        raise _failure(task, output)

    def _call(self, task: str, **values: str) -> Output:
        words = [f"{key}={value}" for key, value in values.items()]
        return self._host.call("rake", task, *words, timeout=self._timeout)


class Names:
    """A list of names of the dashboard's, kept for a while; for any number of threads.

    :param look: asks the dashboard.
    """

    def __init__(self, look: Callable[[], tuple[str, ...]]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._began = float("-inf")
        self._names: tuple[str, ...] = ()

    def get(self, max_age: float) -> tuple[str, ...]:
        """Return the names, at most *max_age* seconds old, counted from before the look.

        :raises espm.errors.BackendError: as the look does.
        """
        wanted = time.monotonic() - max_age
        with self._lock:
            if self._began < wanted:
                began = time.monotonic()
                self._names, self._began = self._look(), began
            return self._names

    def expire(self) -> None:
        """Have the next caller look afresh."""
        with self._lock:
            self._began = float("-inf")


#: The classes of the dashboards in use: each look at them starts Rails.
_classes: WeakValueDictionary[Host, Names] = WeakValueDictionary()
_finding = threading.Lock()


def folded(name: str) -> str:
    """Return *name* as the dashboard's MySQL compares it: without case."""
    return name.casefold()


def _text(output: Output) -> str:
    return (output.stdout + b"\n" + output.stderr).decode("utf-8", "replace")


def _lines(output: bytes) -> Iterable[str]:
    lines = output.decode("utf-8", "replace").split("\n")
    return (line for line in lines if line and not _BANNER.fullmatch(line))


def _failure(task: str, output: Output) -> BackendRefused | BackendUnavailable:
    """Return the error that says *task* failed, with its words as the cause."""
    text = _text(output)
    hopeless = output.status == REFUSED or any(words in text for words in _HOPELESS)
    kind = BackendRefused if hopeless else BackendUnavailable
    failure = kind(f"the dashboard's rake task {task} failed; espm's log has its words")
    failure.__cause__ = TaskFailed(f"exit status {output.status}: {text[-2000:].strip()}")
    return failure
