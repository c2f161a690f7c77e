"""A CA that is asked no further once it has fallen silent.

A CA that hangs costs every call its whole time.  Whoever has many calls to make, one after the
other, should pay that once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from espm.errors import BackendSilent

if TYPE_CHECKING:
    from collections.abc import Callable


class FailFast:
    """Passes calls on to *ca* until one is not answered; from then on each fails as that did.

    Answers, bad ones included, concern one certname and stop nobody else.
    """

    def __init__(self, ca: Any) -> None:
        self._ca = ca
        self._silence: BackendSilent | None = None

    def __getattr__(self, name: str) -> Any:
        """Return the CA's method of that name, guarded."""
        method = getattr(self._ca, name)
        return self._guarded(method) if callable(method) else method

    def _guarded(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if self._silence is not None:
                raise self._silence
            try:
                return method(*arguments, **options)
            except BackendSilent as silence:
                self._silence = silence
                raise

        return call
