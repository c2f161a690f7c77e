"""Reloads the lab in a directory: what `systemctl reload puppetserver` is for a packaged one."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.live.lab import Lab

if __name__ == "__main__":
    Lab.attach(Path(sys.argv[1])).reload()
