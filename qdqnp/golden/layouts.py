"""The order in which a tensor's axes are stored. Logical arrays always have the order of ONNX."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdqnp.quant import Array

ACTIVATIONS = ("NCHW", "NHWC")
WEIGHTS = ("OIHW", "OHWI")
DEPTHWISE = ("OIHW", "OHWI", "1HWC")


@dataclass(frozen=True)
class Layout:
    """name: of the stored order, such as 'NHWC'; 'ONNX' where axes have no names. axes: axis i of the stored array is
    axis axes[i] of the logical one; () where they are equal."""

    name: str = "ONNX"
    axes: tuple[int, ...] = ()

    def stored(self, array: Array) -> Array:
        """A logical array as it is stored: C order, little-endian."""
        moved = np.transpose(array, self.axes) if self.axes else array
        return np.asarray(moved, moved.dtype.newbyteorder("<"), order="C")

    def logical(self, array: Array) -> Array:
        """A stored array in the order of ONNX."""
        return np.transpose(array, np.argsort(self.axes)) if self.axes else array


PLAIN = Layout()


def activation_layout(rank: int, order: str) -> Layout:
    """Of images (N, C, H, W) and sequences (N, C, W). order: one of ACTIVATIONS."""
    if rank not in (3, 4):
        return PLAIN
    names = {3: ("NCW", "NWC"), 4: ("NCHW", "NHWC")}[rank]
    if order == "NCHW":
        return Layout(names[0])
    return Layout(names[1], (0, *range(2, rank), 1))


def weight_layout(rank: int, order: str) -> Layout:
    """Of a convolution's weights (O, I, H, W) or (O, I, W). order: one of DEPTHWISE; '1HWC' is for I = 1."""
    short = rank == 3
    if rank not in (3, 4) or order == "OIHW":
        return Layout("OIW" if short else "OIHW") if rank in (3, 4) else PLAIN
    if order == "OHWI":
        return Layout("OWI" if short else "OHWI", (0, *range(2, rank), 1))
    return Layout("1WC" if short else "1HWC", (*range(1, rank), 0))


def matrix_layout(transposed: bool, order: str) -> Layout:
    """Of a Gemm's B. transposed: whether ONNX has it as (O, I) already, which is how rows are wanted for 'OHWI'."""
    if transposed:
        return Layout("OI")
    return Layout("IO") if order == "OIHW" else Layout("OI", (1, 0))
