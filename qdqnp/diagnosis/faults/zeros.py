"""Zero points of codes that a tool turned into real values before they were dumped."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qdqnp.diagnosis.faults.suspect import Finding, Suspect

MISREAD = "dequantized with another zero point"


def real_values(suspect: Suspect) -> Iterator[Finding]:
    """Real values that all stand for codes as many units away: the codes were right, the zero point was not.

    Tools that read int8 zero points as float32 have 0, or nearly so, in its place.
    """
    quant = suspect.target.quant
    if quant is None or not quant.per_tensor or not suspect.device.tensors[suspect.target.name].real:
        return
    distances = {
        int(distance)
        for case in suspect.bad_cases
        for distance in np.unique(suspect.got[case].astype(np.int64) - suspect.want[case].astype(np.int64))
    }
    if len(distances) == 1 and len(suspect.bad_cases) == len(suspect.got):
        zero, (distance,) = int(quant.zero_point), distances
        hint = "; int8 zero points read as float32 are 0" if zero == distance else ""
        yield Finding(MISREAD, f"{zero - distance} in place of {zero}{hint}")
