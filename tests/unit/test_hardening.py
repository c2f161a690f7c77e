"""What the daemon says of rights that it does not need."""

from __future__ import annotations

import os

import pytest

from espm.hardening import warn_of_root


@pytest.mark.parametrize(("user", "lines"), [(0, 1), (998, 0)])
def test_it_says_that_it_runs_as_root(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    user: int,
    lines: int,
) -> None:
    """Whoever starts it by hand may not know that nothing of espm needs it."""
    monkeypatch.setattr(os, "geteuid", lambda: user)

    warn_of_root()

    assert caplog.text.count("running as root") == lines
