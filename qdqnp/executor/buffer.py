"""NumPy's ufunc buffer, held small while steps are evaluated.

An operand that is repeated along rows, as a multiplier for each channel is, passes through that buffer wherever a row
is shorter than the buffer. The setting belongs to the thread, and no result depends on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

#: Elements; NumPy's own choice is 8192. The number was measured and decides speed only.
ELEMENTS = 256


@contextmanager
def small_buffer() -> Iterator[None]:
    """Hold the buffer at `ELEMENTS` while the context lasts."""
    before = np.setbufsize(ELEMENTS)
    try:
        yield
    finally:
        np.setbufsize(before)
