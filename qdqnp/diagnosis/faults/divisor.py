"""Averages: another divisor than the elements that are added up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from qdqnp.diagnosis.faults.fault import Changed, fault_of_question
from qdqnp.numerics.questions import Means, Windows

DIVISOR = "wrong divisor"


@fault_of_question(DIVISOR, Means)
def of_a_plane(question: Means, rule: Any) -> Iterator[Changed]:
    """A shift divides by a power of two."""
    power = 1 << (question.count - 1).bit_length()
    if power != question.count:
        yield Changed(replace(question, count=power), f"{power} instead of {question.count}")


@fault_of_question(DIVISOR, Windows)
def of_a_window(question: Windows, rule: Any) -> Iterator[Changed]:
    """The padding counts where it should not, or the other way round."""
    every = np.full_like(question.count, len(question.taps))
    inside = np.asarray(question.inside.sum(axis=0), np.int64)
    if (every != question.count).any():
        yield Changed(replace(question, count=every), "the padding counts")
    if (inside != question.count).any():
        yield Changed(replace(question, count=inside), "only the image's elements count")
