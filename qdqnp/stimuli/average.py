"""Show the windowed average every sum of every kind of window."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from qdqnp.executor.plan import BoundStep
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.rules.average import DividedAverage, MeanAverage, ReciprocalAverage
from qdqnp.numerics.rules.reciprocal_average import FixedReciprocalAverage
from qdqnp.ops.geometry.windows import axes_for
from qdqnp.stimuli.goals import Goal
from qdqnp.stimuli.place import Sheet, sheets
from qdqnp.stimuli.sums import SummingLayer, window_sites

EVERY_SUM = "every sum"
# Where a window has more sums than this, or they would take more inputs, evenly spaced sums are taken.
MOST_TOTALS = 8192
MOST_CASES = 256

# Rules whose result depends only on a window's sum and count; a float32 sum also depends on the order of its terms.
OF_THE_SUM = (DividedAverage, MeanAverage, ReciprocalAverage, FixedReciprocalAverage)


def every_sum(bound: BoundStep, shapes: Mapping[str, tuple[int, ...]], inputs: int) -> tuple[list[Sheet], bool]:
    """Make one output element for each sum that a window can have, for each kind of window (by how much of it lies in
    the padding), in at most so many inputs, but at least one for each kind. Also return whether no sum was left out."""
    sheets_made: list[Sheet] = []
    complete, kinds = True, window_kinds(bound, shapes)
    for sums in kinds:
        reach = sums.reach(0, 0)
        count = reach.most - reach.least + 1
        cases = min(MOST_CASES, max(1, inputs // len(kinds)))
        most = min(MOST_TOTALS, cases * sums.channels * len(sums.sites[0]))
        complete &= count <= most
        totals = np.unique(np.linspace(reach.least, reach.most, min(count, most)).round().astype(np.int64))
        targets = [Goal(EVERY_SUM, index % sums.channels, int(total)) for index, total in enumerate(totals)]
        sheets_made += sheets(sums, targets)
    return sheets_made, complete


def window_kinds(bound: BoundStep, shapes: Mapping[str, tuple[int, ...]]) -> list[SummingLayer]:
    """Describe the layer as sums, one for each kind of window. The weights are 1, and every channel is a group of its
    own."""
    x = bound.step.inputs[0]
    assert x is not None
    shape, attributes = shapes[x.name], bound.step.attributes
    axes = axes_for(attributes, attributes.kernel_shape, shape[2:])
    sites = window_sites(shape, 1, axes, attributes.kernel_shape, shapes[bound.step.output_names[0]], maximal=False)
    channels, area = shape[1], int(np.prod(shape[2:], dtype=np.int64))
    ones = np.ones((channels, math.prod(attributes.kernel_shape)), np.int64)
    return [SummingLayer(x, shape, ones, np.arange(channels), area, (site,)) for site in sites]


def of_the_sum(profile: Profile) -> bool:
    """Return whether the profile's windowed average depends only on the sum and the count."""
    return isinstance(profile.average_pool, OF_THE_SUM)
