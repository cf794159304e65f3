"""Names of the arrays in the `*_val_io.npz` that ST Edge AI's `validate` writes.

`m_inputs_1`, `m_outputs_1`: what went into the original model and what it made. `c_inputs_1`, `c_outputs_1`: the same
of the device, where arrays of rank 4 are channel-last. Numbers begin with 1.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_KEY = re.compile(r"(?P<side>[mc])_(?P<kind>inputs|outputs)_(?P<number>[0-9]{1,4})")


class StKey(NamedTuple):
    """Which array of such a file it is."""

    #: Whether the device has it; else the original model.
    device: bool
    #: 'inputs' or 'outputs'.
    kind: str
    #: Which of the inputs or outputs, from 0.
    number: int


def st_key(name: str) -> StKey | None:
    """Return which array has this name; None for any other name.

    >>> st_key("c_outputs_2"), st_key("c_outputs_0")
    (StKey(device=True, kind='outputs', number=1), None)
    """
    found = _KEY.fullmatch(name)
    if found is None or int(found["number"]) < 1:
        return None
    return StKey(found["side"] == "c", found["kind"], int(found["number"]) - 1)
