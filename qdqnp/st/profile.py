"""The profile of a compiled network: that of its compiler, with the integers of each layer that were read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from qdqnp.errors import InputError, Problems
from qdqnp.numerics.choices import Overrides
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import profile_named
from qdqnp.numerics.rules.accumulate import SplitSum
from qdqnp.quant import Int64
from qdqnp.st.compiled import CompiledNetwork, CompiledSum

#: Rows times columns of a kernel.
MAX_KERNEL = 2**12

#: What stands behind a node's name where the compiler made a convolution of a dense layer.
_AS_CONVOLUTION = re.compile(r"(.+)_conv_[0-9]{1,9}")


def compiled_profile(network: CompiledNetwork, name: str, labels: Mapping[str, str] | None = None) -> Profile:
    """Return the profile of a network's compiler, with the numbers of every layer that was read.

        name: the profile's name.
        labels: what a model calls each node of the compiled graph (`names.labels_in`); None for the graph itself.

    Raises InputError where a layer is split in a way that no rule has.
    """

    def label(layer: str) -> str:
        node = layer_node(layer)
        return node if labels is None else labels.get(node, node)

    problems = Problems()
    base = profile_named(network.profile)
    sums = tuple((label(layer.name), _numbers(layer)) for layer in network.sums)
    split = tuple((label(layer.name), _split(layer, problems)) for layer in network.sums if layer.parts)
    adds = tuple((label(add.name), add.numbers) for add in network.adds)
    averages = {whole: _averages(network, label, whole) for whole in (False, True)}
    problems.raise_if_any("a compiled network whose arithmetic has no profile", InputError)
    conv = _with(base.conv, sums)
    accumulate = SplitSum(conv.tie, overrides=split) if split else base.accumulate
    return replace(
        base,
        name=name,
        summary=f"{base.name} with the numbers of a compiled network, {network.graph or 'its graph unknown'}",
        status="inferred",
        source=f"files of a compiled network, compiler {network.compiler or 'unknown'}",
        accumulate=accumulate,
        conv=conv,
        gemm=conv,
        matmul=conv,
        add=_with(base.add, adds),
        average_pool=_with(base.average_pool, averages[False]),
        global_average_pool=_with(base.global_average_pool, averages[True]),
    )


def _with(rule: Any, overrides: Overrides) -> Any:
    return replace(rule, overrides=overrides) if overrides else rule


def layer_node(layer: str) -> str:
    """Return the node of the compiled graph that a layer was made of.

    >>> layer_node("Gemm_2_conv_4"), layer_node("Conv2D_9")
    ('Gemm_2', 'Conv2D_9')
    """
    made = _AS_CONVOLUTION.fullmatch(layer)
    return made[1] if made else layer


def _numbers(layer: CompiledSum) -> tuple[tuple[str, Any], ...]:
    """Return a layer's numbers as its rule names them."""
    if layer.sh1 is None:
        numbers = {"S1": layer.s1, "S2": layer.s2, "A": _plain(layer.a), "BC": _plain(layer.bc)}
    else:
        shifts = {"S1": layer.s1, "sh1": layer.sh1, "S2": layer.s2}
        numbers = {**shifts, "A1": _plain(layer.a), "A2": layer.a2 or 0, "BC": _plain(layer.bc)}
    return tuple(numbers.items())


def _plain(numbers: Int64) -> int | tuple[int, ...]:
    return int(numbers[0]) if numbers.size == 1 else tuple(map(int, numbers))


def _split(layer: CompiledSum, problems: Problems) -> tuple[tuple[str, Any], ...]:
    """Return which part each row and column of the kernel belongs to."""
    where = f"layer {layer.name}, which is split"
    if any(part.begin is None or part.end is None for part in layer.parts):
        problems.add(where, "names of weights that say which part has which rows (_submask_)", "other names")
        return ()
    corners = [(part.begin, part.end) for part in layer.parts if part.begin is not None and part.end is not None]
    whole = tuple(max(end[axis] for _, end in corners) for axis in range(4))
    if whole[2] * whole[3] > MAX_KERNEL:
        problems.add(where, f"a kernel of at most {MAX_KERNEL} elements", f"{whole[2]} x {whole[3]}")
        return ()
    owner = np.full(whole[2:], -1)
    for number, (begin, end) in enumerate(corners):
        if begin[:2] != (0, 0) or end[:2] != whole[:2]:
            problems.add(where, "parts that have all channels", f"channels {begin[:2]} to {end[:2]} of {whole[:2]}")
            return ()
        rows, columns = slice(begin[2], end[2]), slice(begin[3], end[3])
        if (owner[rows, columns] >= 0).any():
            problems.add(where, "parts that do not overlap", f"part {number} overlaps another")
        owner[rows, columns] = number
    if (owner < 0).any():
        problems.add(where, "parts that together are the whole kernel", "some of it in no part")
    return (("S1", layer.s1), ("parts", tuple(map(int, owner.reshape(-1)))))


def _averages(network: CompiledNetwork, label: Callable[[str], str], whole: bool) -> Overrides:
    return tuple(
        (label(pool.name), (("R", pool.multiplier), ("shift", pool.shift)))
        for pool in network.poolings
        if pool.operation == ("global average" if whole else "average")
    )
