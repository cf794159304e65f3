"""GoldenTensor: one tensor of a golden set, as it is written, listed in manifest.json, and read back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from qdqnp.golden.layouts import PLAIN, Layout
from qdqnp.quant import Array, Quant

Document = dict[str, Any]  # JSON

# What is the layer's own: other layers may have every other tensor too.
INNER_ROLES = ("parameter", "sum", "accumulator", "stage")


@dataclass(frozen=True, eq=False)
class GoldenTensor:
    """One tensor of a set, without its values. The fields are those of the manifest, in its order."""

    #: unique within the set, safe as a file name and, behind a prefix, as a C identifier
    key: str
    #: ONNX name; of parameters and inner values, that of the layer's output
    name: str
    #: one of qdqnp.golden.ROLES
    role: str
    #: label of the layer, '' for the network's own tensors
    layer: str
    #: operator type of the layer, '' for the network's own tensors
    op: str
    #: of the layer among the steps of the program, None for the network's own tensors
    index: int | None
    #: which parameter or inner value, such as 'multiplier' or 'x16'; '' for other tensors
    stage: str
    #: name of the element type, such as 'int8'
    dtype: str
    #: sizes in the order of ONNX
    shape: tuple[int, ...]
    #: name of the stored order of axes, such as 'NHWC'
    layout: str
    #: stored axis i is axis axes[i] of the shape; () where the orders are equal
    axes: tuple[int, ...]
    #: real = (code - zero_point) * scale; a list goes along `axis`; None without a meaning
    scale: float | list[float] | None
    #: as `scale`
    zero_point: int | list[int] | None
    #: the axis of lists of scales and zero points
    axis: int | None
    #: why the values are not promised to be exact for the profile, '' where they are
    doubt: str
    #: whether each input of the network has values of its own
    varies: bool
    #: where the values are, by format; '{case}' stands for the number of the input, five digits
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: of the stored bytes, one, or one for each input of the network; () while the set is being written
    crc32: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of the values for one input of the network."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def order(self) -> Layout:
        """The stored order of axes."""
        return Layout(self.layout, self.axes)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Sizes along the stored axes."""
        return tuple(self.shape[axis] for axis in self.axes) if self.axes else self.shape

    @property
    def shared(self) -> bool:
        """Whether it is the tensor of that name itself, which other layers may have too."""
        return self.role not in INNER_ROLES

    def as_json(self) -> Document:
        """The entry of the manifest without its checksums, of which there may be one for each of many inputs."""
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "crc32"}
        return {**values, "shape": list(self.shape), "axes": list(self.axes), "files": dict(self.files)}


def golden_tensor(
    array: Array,
    key: str,
    name: str,
    role: str,
    *,
    doubt: str = "",
    layer: str = "",
    op: str = "",
    index: int | None = None,
    stage: str = "",
    quant: Quant | None = None,
    layout: Layout = PLAIN,
    varies: bool = True,
) -> GoldenTensor:
    """The record of an array that is to be written. The fields are those of GoldenTensor."""
    dtype, shape = str(array.dtype), array.shape
    scale, zero_point = (None, None) if quant is None else (quant.scale.tolist(), quant.zero_point.tolist())
    axis = None if quant is None else quant.axis
    where = (key, name, role, layer, op, index, stage)
    return GoldenTensor(*where, dtype, shape, layout.name, layout.axes, scale, zero_point, axis, doubt, varies)


def tensor_from_json(entry: Mapping[str, Any]) -> GoldenTensor:
    """The tensor of a manifest's entry, which its schema allows."""
    lists = {key: tuple(entry[key]) for key in ("shape", "axes", "crc32")}
    return GoldenTensor(**{**entry, **lists})
