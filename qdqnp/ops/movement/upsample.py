"""Upsample, which Resize took the place of in opset 10: the nearest element in front, or what lies between elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qdqnp.ops.geometry.resizing import ResizeAttributes
from qdqnp.ops.movement.resize import Resize, read_scales
from qdqnp.ops.node_check import NodeCheck, parse_attributes

#: The opset since which the scales are an input.
INPUTS = 9


@dataclass(frozen=True)
class UpsampleAttributes:
    mode: str = "nearest"
    #: The factor of each axis, an attribute before opset 9.
    scales: tuple[float, ...] = ()


class Upsample(Resize):
    """ONNX Runtime 1.32, core/providers/cpu/tensor/upsample.cc: the kernel of the Resize of opset 10."""

    op = "Upsample"
    arity = (1, 2)

    def attributes(self, check: NodeCheck) -> Any:
        given = parse_attributes(UpsampleAttributes, check)
        if given.mode not in ("nearest", "linear"):
            check.refuse("attribute 'mode'", "nearest or linear", repr(given.mode))
        if check.opset < INPUTS:
            scales = given.scales
            if len(check.inputs) > 1:
                check.refuse("inputs", f"1 before opset {INPUTS}", len(check.inputs))
        else:
            scales = read_scales(check, 1)
        if not scales or any(not 1 <= scale < float("inf") for scale in scales):
            check.refuse("scales", "finite float32 >= 1, one for each axis", list(scales[:64]))
        return ResizeAttributes(
            given.mode,
            coordinate_transformation_mode="asymmetric",
            nearest_mode="simple",
            _scales=scales,
            _late=bool(check.runtime_sizes),
        )
