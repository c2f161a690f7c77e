"""A certificate whose issue was noted as done, though the one who noted it was told otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from espm.errors import BackendUnavailable
from espm.model import Certname, IntentKind
from tests.api.test_certificates import CERTIFICATE
from tests.api.test_nodes import NAME

if TYPE_CHECKING:
    from tests.api.platform import Client, Espm


def test_what_is_taken_back_is_on_the_list(espm: Espm, cloud: Client) -> None:
    """Its ISSUE is closed, so that a revocation that can't be done now needs an intent of its own:
    nobody would carry it on.
    """
    cloud.add(NAME)
    close = espm.ledger.close

    def broken_off(intent: Any) -> None:
        close(intent)
        espm.ledger.close = close  # type: ignore[method-assign]
        msg = "the database broke off"
        raise BackendUnavailable(msg)

    espm.ledger.close = broken_off  # type: ignore[method-assign]
    espm.ca.fail_before["revoke"] = BackendUnavailable("away")
    answer = cloud.call("POST", CERTIFICATE, json={})
    node = espm.ledger.node("cloud", Certname(NAME))
    left = espm.ledger.open_intent(node, [IntentKind.REVOKE])

    assert answer.status_code == 503
    assert [each.state for each in espm.ledger.certificates(node)] == ["revoking"]
    assert left is not None
