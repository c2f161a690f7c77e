"""What a start does not need is not loaded by it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests import new_ledger

if TYPE_CHECKING:
    from pathlib import Path

_SAY = """
import sys
from espm import daemon, ledger
with ledger.open_ledger(sys.argv[1]): pass
print(*sorted({"alembic", "mako", "psycopg", "sqlalchemy.dialects.postgresql"} & {*sys.modules}))
"""


def test_a_start_loads_no_migrations_and_no_other_database(tmp_path: Path) -> None:
    """An SQLite ledger that is up to date is opened without Alembic and without PostgreSQL."""
    new_ledger.write(tmp_path / "ledger.db")
    argv = [sys.executable, "-c", _SAY, f"sqlite:///{tmp_path}/ledger.db"]

    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)

    assert said.stdout.strip() == ""
