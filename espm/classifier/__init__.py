"""Telling Puppet what a node is: one module for each kind of ENC.

::

    builtin      the port's adapter: groups and documents held together
    groups       the administrator's groups file, checked whole
    strict_yaml  YAML that says nothing JSON can't say, with the line of every fault
    merge        groups and node become one classification
    render       a classification as JSON that YAML parsers read identically
    documents    one file per node, published so that a reader never sees half of it
    fallback     the ENC that was there before
"""
