"""Numbers of single layers that a profile states: the multipliers and shifts that a vendor's compiler chose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics.choices import Overrides
from qdqnp.numerics.rules.requantize.protocol import SumContext


def given_for(overrides: Overrides, context: SumContext) -> Mapping[str, Any]:
    """Return the numbers that are stated for a layer, by name; a list has one number for each channel.

    Raises ProfileError where a list does not have as many numbers as the layer has channels.
    """
    given = dict(dict(overrides).get(context.label, ()))
    channels = context.w.scale.size if context.weights is None else len(context.weights)
    for name, value in given.items():
        size = np.size(value)
        if size not in (1, channels):
            problem = Problem(f"override {name}", f"1 or {channels} values", str(size))
            raise ProfileError("an override that does not fit its layer", [problem])
    return given
