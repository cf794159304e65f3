"""A Ctrl-C while Python imports: the process leaves at once, because a library may not survive an exception there."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """Have a Ctrl-C end the process with one line and the exit code 130, as long as nothing has been written.

    A handler that is not Python's own stays, and so does an ignored signal.
    """
    own = threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if own:
        signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        if own:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(*_: Any) -> None:
    os.write(2, b"interrupted\n")
    os._exit(130)
