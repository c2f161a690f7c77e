"""espm: the safe, narrow door between a cloud platform and a Puppet server."""

__version__ = "1.0.0"
