"""GoldenTensor: one tensor of a golden set, as it is written, listed in manifest.json, and read back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from qdqnp.element_types import plain_dtype
from qdqnp.golden_sets.layouts import PLAIN, Layout
from qdqnp.quant import Array, Quant

Document = dict[str, Any]  # JSON

# Roles whose tensors belong to one layer only; tensors of other roles may be shared between layers.
INNER_ROLES = ("parameter", "sum", "accumulator", "stage")


@dataclass(frozen=True, eq=False)
class GoldenTensor:
    """One tensor of a set, without its values. The fields are those of the manifest, in its order."""

    #: Unique within the set, safe as a file name and, behind a prefix, as a C identifier.
    key: str
    #: The ONNX name; for parameters and inner values, the name of the layer's output.
    name: str
    #: One of qdqnp.golden_sets.ROLES.
    role: str
    #: Label of the layer, '' for the network's own tensors.
    layer: str
    #: Operator type of the layer, '' for the network's own tensors.
    op: str
    #: Index of the layer among the steps of the program, None for the network's own tensors.
    index: int | None
    #: Which parameter or inner value it is, such as 'multiplier' or 'x16'; '' for other tensors.
    stage: str
    #: Name of the element type, such as 'int8'; 4-bit codes are int8 or uint8, not packed.
    dtype: str
    #: Sizes in the order of ONNX.
    shape: tuple[int, ...]
    #: Name of the stored order of axes, such as 'NHWC'.
    layout: str
    #: Stored axis i is axis axes[i] of the shape; () where the orders are equal.
    axes: tuple[int, ...]
    #: Real = (code - zero_point) * scale. A list goes along `axis`; None where the tensor does not hold codes.
    scale: float | list[float] | None
    #: The zero point; a list goes along `axis`, None as for `scale`.
    zero_point: int | list[int] | None
    #: The axis of lists of scales and zero points.
    axis: int | None
    #: Why the values are not promised to be exact for the profile; '' where they are.
    doubt: str
    #: Whether each input of the network has values of its own.
    varies: bool
    #: Where the values are, by format; '{case}' stands for the number of the input, five digits.
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: CRC-32 of the stored bytes: one, or one for each input of the network; () while the set is being written.
    crc32: tuple[str, ...] = ()

    @property
    def called(self) -> tuple[str, ...]:
        """Return what files of the set call the tensor: its key, and the name of its array in C without 'golden_'."""
        symbols = (str(file["symbol"]) for file in self.files.values() if "symbol" in file)
        return tuple(dict.fromkeys((self.key, *(symbol.removeprefix("golden_") for symbol in symbols))))

    @property
    def nbytes(self) -> int:
        """Return the bytes of the values for one input of the network."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def order(self) -> Layout:
        """Return the stored order of axes."""
        return Layout(self.layout, self.axes)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Return the sizes along the stored axes."""
        return tuple(self.shape[axis] for axis in self.axes) if self.axes else self.shape

    @property
    def shared(self) -> bool:
        """Return whether this is the tensor of that name itself, which other layers may have too."""
        return self.role not in INNER_ROLES

    def as_json(self) -> Document:
        """Return the manifest's entry without its checksums, which may be one for each of many inputs."""
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
    """Describe an array that is to be written. The arguments are the fields of GoldenTensor."""
    dtype, shape = str(plain_dtype(array.dtype)), array.shape
    scale, zero_point = (None, None) if quant is None else (quant.scale.tolist(), quant.zero_point.tolist())
    axis = None if quant is None else quant.axis
    where = (key, name, role, layer, op, index, stage)
    return GoldenTensor(*where, dtype, shape, layout.name, layout.axes, scale, zero_point, axis, doubt, varies)


def tensor_from_json(entry: Mapping[str, Any]) -> GoldenTensor:
    """Return the tensor of a manifest's entry that has passed the schema."""
    lists = {key: tuple(entry[key]) for key in ("shape", "axes", "crc32")}
    return GoldenTensor(**{**entry, **lists})
