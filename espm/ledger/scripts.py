"""The migrations of the ledger, and Alembic, which runs them.

They lie in this package, so that a wheel carries them; there is no ``alembic.ini``.  An upgrade is
one transaction on both databases: it happens or it does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

if TYPE_CHECKING:
    import sqlalchemy as sa

_MIGRATIONS = Path(__file__).parent / "migrations"


def run(connection: sa.Connection) -> None:
    """Bring the schema behind *connection* up to date, within its transaction."""
    upgrading = config()
    upgrading.attributes["connection"] = connection
    command.upgrade(upgrading, "head")


def known() -> frozenset[str]:
    """Return all revisions that there ever were."""
    return frozenset(script.revision for script in _directory().walk_revisions())


def head() -> str | None:
    """Return the newest revision."""
    return _directory().get_current_head()


def config() -> Config:
    """Return Alembic's configuration."""
    made = Config()
    made.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return made


def _directory() -> ScriptDirectory:
    return ScriptDirectory.from_config(config())
