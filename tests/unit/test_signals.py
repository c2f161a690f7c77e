"""Signals reach the main thread, whichever thread the kernel gives them to."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from espm.signals import NAMES, Signals


@pytest.mark.timing
@pytest.mark.timeout(20)
def test_a_signal_that_another_thread_was_given_is_taken() -> None:
    """The main thread, which waits meanwhile, is not woken by it."""
    kept = {name: signal.getsignal(getattr(signal, name)) for name in NAMES}
    signals = Signals(lambda _: None)
    signals.listen()

    def given() -> None:
        time.sleep(0.2)
        signal.pthread_kill(threading.get_ident(), signal.SIGHUP)
        time.sleep(5)

    thread = threading.Thread(target=given)
    thread.start()
    begun = time.monotonic()
    try:
        taken = next(iter(signals))
    finally:
        for name, handler in kept.items():
            signal.signal(getattr(signal, name), handler)
    waited = time.monotonic() - begun
    thread.join()

    assert taken == "SIGHUP"
    assert waited < 4
