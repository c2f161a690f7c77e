"""Ways to reach Puppet's CA, each behind :class:`espm.ports.CertificateAuthority`."""
