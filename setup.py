"""Installation; the metadata is in pyproject.toml.

The ENC script is sh, not Python, so it is installed as it is: an entry point would put an
interpreter start in front of every catalog.  So is the helper for the programs of old Puppet, which
espm_setup copies from here to where root owns it.
"""

from setuptools import setup

setup(scripts=["etc/espm_enc", "etc/espm_tools"])
