"""Why a server of Puppet's could not be asked, in the words of whoever has to mend it.

Callers of the API never see this: it is in the causes of the error, which the libraries below
nest several deep.  The innermost one says what happened.
"""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from espm.errors import BackendError

_OWN = "see that [puppet] certificate is signed by this Puppet's CA, not revoked, and of this key"
_THEIRS = "see that [puppet] ca_file is this Puppet's CA, and the URL has a name of the certificate"
_RUNS = "see that Puppet Server runs there, and that [puppet] {key} is right"


def trouble(error: BackendError, key: str) -> tuple[str, str]:
    """Return what is behind *error* and what to do about it.

    :param key: the key of ``[puppet]`` that holds the URL which was asked.
    """
    cause = _innermost(error)
    if isinstance(cause, ssl.SSLError):
        return _tls(cause)
    if isinstance(cause, TimeoutError):
        return "no answer in time", _RUNS.format(key=key)
    reason = cause.strerror if isinstance(cause, OSError) else None
    return reason or str(error), _RUNS.format(key=key)


def _innermost(error: BaseException) -> BaseException:
    while inner := error.__cause__ or error.__context__:
        error = inner
    return error


def _tls(error: ssl.SSLError) -> tuple[str, str]:
    text = re.sub(r"^\[[^]]*\] | \(_ssl\.c:\d+\)$", "", str(error.args[-1]))
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted ({text})", _THEIRS
    if "ALERT" in (error.reason or ""):
        return f"it does not accept espm's client certificate ({text})", _OWN
    return f"no TLS ({text})", _OWN
