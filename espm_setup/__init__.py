"""What an administrator runs once: ``espm_setup``.

It may import espm (configuration, X.509, CA, ledger); espm never imports it.

Where to look::

    __main__      parses, calls one job, turns errors into exit codes
    options       the command line: every option, every exit code
    install       the job of the first run
    later         fetch, hookup and upgrade, on an espm that is there
    keys          preshared keys: another for a platform, and a platform more
    renewal       a new server certificate for the same key
    changes       one change at a time to a file of espm's, whole or not at all
    plan          what the first run will make, decided before anything is made
    puppet        finds the Puppet Server of this machine
    client        obtains espm's own certificate from Puppet's CA
    ledger        makes and upgrades the ledger
    as_owner      does what is to be done as espm's user, when root runs the setup
    hookup        puts puppet.conf and auth.conf right, proves it, and takes it back
    ini           the edits of espm.ini      } pure: bytes in, bytes out
    puppet_conf   the edit of puppet.conf    } pure: text in, text out, and each
    auth_conf     the edit of auth.conf      } has an exact inverse
    report        what is said, for people and as JSON
"""
