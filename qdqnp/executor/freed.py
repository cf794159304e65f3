"""Memory that was freed stays with the process: the pages of a new array are dear where the system has to find them.

glibc gives freed blocks back to the system above a size, which grows to that of the largest block that was freed (the
manual page mallopt(3), M_MMAP_THRESHOLD). So one block that comes and goes, and is never written to, takes no memory
and is enough. Elsewhere it does nothing; no result depends on it.
"""

from __future__ import annotations

from functools import cache

import numpy as np

#: Bytes. The arrays of a run are smaller, and glibc's size grows to 32 MiB at most. Up to twice as many freed bytes
#: stay.
LARGEST = 16 << 20


@cache
def keep_freed_memory() -> None:
    """Let the process keep memory that it frees. Once is enough."""
    np.empty(LARGEST, np.uint8)
