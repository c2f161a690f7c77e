"""What Puppet prints of its settings, whichever program was asked."""

from __future__ import annotations


def assignments(output: bytes) -> dict[str, str]:
    """Return the settings that were printed as ``name = value``, one a line, by name.

    Puppet does so when it is asked for several; of a single one it prints the value only.
    Other lines, warnings say, are left out.
    """
    lines = output.decode("utf-8", "replace").splitlines()
    pairs = (line.partition(" = ") for line in lines)
    return {name: value for name, separator, value in pairs if separator}
