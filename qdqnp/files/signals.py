"""Ctrl-C and SIGTERM while files are written: both end a run with its clean-up done, and neither interrupts that."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_IGNORED: Mapping[signal.Signals, Any] = {signal.SIGINT: signal.SIG_IGN, signal.SIGTERM: signal.SIG_IGN}


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Make SIGTERM raise as Ctrl-C does, unless it is handled already: by default it ends Python without any
    clean-up."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    mine = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with _handled({signal.SIGTERM: stop} if mine else {}):
        yield


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Ignore Ctrl-C and SIGTERM for the few moments of a rename or a clean-up, of which they must not leave half."""
    with _handled(_IGNORED):
        yield


@contextmanager
def _handled(handlers: Mapping[signal.Signals, Any]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers, and only it is interrupted
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
