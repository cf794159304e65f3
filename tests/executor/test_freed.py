"""Memory that a run frees stays with the process, as faults of pages count it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

ALLOCATIONS = """
import resource
import numpy as np
import qdqnp
from qdqnp.inputs.shipped import shipped_model

if {planned}:
    qdqnp.load(shipped_model("dla46_c_int8")).plan()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    before = faults()
    arrays = [np.ones(3 << 20, np.uint8) for _ in range(3)]
    del arrays
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have other ways")
def test_pages_of_freed_arrays_are_used_again() -> None:
    def faults(planned: bool) -> int:
        command = [sys.executable, "-c", ALLOCATIONS.format(planned=planned)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    pages, otherwise = 3 * (3 << 20) // 4096, faults(planned=False)
    assert (
        otherwise > pages // 10
    )  # else this test would show nothing; a kernel that gives huge pages faults less often
    assert faults(planned=True) < otherwise // 5
