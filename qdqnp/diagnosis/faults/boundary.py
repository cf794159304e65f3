"""Boundaries of codes: whether a difference is no more than a matter of rounding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qdqnp.diagnosis.faults.suspect import Suspect
from qdqnp.errors import QdqnpError
from qdqnp.numerics.profiles.ort import ORT

# How near a boundary the arithmetics of real devices part: two roundings add up to 2^-5, narrow multipliers less.
BESIDE_LSB = 2.0**-4
# Steps of one LSB in which a real value is looked at.
FINE = 256


def at_boundaries(suspect: Suspect) -> bool:
    """Whether every difference is of 1 LSB, where the real value lies beside the boundary of the two codes."""
    if not suspect.alone or len(suspect.layers[0].parts) != 1:
        return False
    for case in suspect.bad_cases:
        (part,) = suspect.layers[case].parts
        y, bad = part.question.y, part.answers(suspect.differs[case])
        if y is None:
            return False
        got, want = (part.answers(side)[bad].astype(np.int64) for side in (suspect.got[case], suspect.want[case]))
        fine = replace(
            y, dtype=np.dtype(np.int32), scale=np.asarray(y.scale / FINE, np.float32), zero_point=np.zeros((), np.int32)
        )
        try:
            position = part.question.with_y(fine).answer(ORT)[bad] / FINE + int(y.zero_point)
        except QdqnpError:
            return False
        if (np.abs(got - want) != 1).any() or (np.abs(position - (got + want) / 2) > BESIDE_LSB).any():
            return False
    return True
