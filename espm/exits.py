"""The exit codes of ``espm``, as sysexits(3) has them where it has one."""

from __future__ import annotations

from enum import IntEnum

from espm import errors


class Exit(IntEnum):
    """How a command ended; the administrator's guide lists them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNAVAILABLE = 69
    SOFTWARE = 70
    LOCKED = 75
    CONFIG = 78


_CODES: dict[type[errors.EspmError], Exit] = {
    errors.ConfigError: Exit.CONFIG,
    errors.MigrationNeeded: Exit.CONFIG,
    errors.LedgerLocked: Exit.LOCKED,
    errors.BackendError: Exit.UNAVAILABLE,
}


def code(error: errors.EspmError) -> Exit:
    """Return the exit code that stands for *error*."""
    return next((_CODES[cls] for cls in type(error).__mro__ if cls in _CODES), Exit.FAILED)
