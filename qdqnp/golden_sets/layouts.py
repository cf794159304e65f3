"""Define the order in which a tensor's axes are stored. Logical arrays always have the order of ONNX."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdqnp.quant import Array

ACTIVATIONS = ("NCHW", "NHWC")
WEIGHTS = ("OIHW", "OHWI")
DEPTHWISE = ("OIHW", "OHWI", "1HWC")


@dataclass(frozen=True)
class Layout:
    """A stored order of axes."""

    #: The order's name, such as 'NHWC'; 'ONNX' where axes do not have names.
    name: str = "ONNX"
    #: Axis i of the stored array is axis axes[i] of the logical one; () where the orders are equal.
    axes: tuple[int, ...] = ()

    def stored(self, array: Array) -> Array:
        """Return a logical array as it is stored: C order, little-endian."""
        moved = np.transpose(array, self.axes) if self.axes else array
        return np.asarray(moved, moved.dtype.newbyteorder("<"), order="C")

    def logical(self, array: Array) -> Array:
        """Return a stored array in the order of ONNX."""
        return np.transpose(array, np.argsort(self.axes)) if self.axes else array


PLAIN = Layout()


def activation_layout(rank: int, order: str) -> Layout:
    """Return the layout of images (N, C, H, W) and sequences (N, C, W).

    rank: number of axes.
    order: one of ACTIVATIONS.
    """
    if rank not in (3, 4):
        return PLAIN
    names = {3: ("NCW", "NWC"), 4: ("NCHW", "NHWC")}[rank]
    if order == "NCHW":
        return Layout(names[0])
    return Layout(names[1], (0, *range(2, rank), 1))


def weight_layout(rank: int, order: str) -> Layout:
    """Return the layout of a convolution's weights (O, I, H, W) or (O, I, W).

    rank: number of axes.
    order: one of DEPTHWISE; '1HWC' is for I = 1.
    """
    short = rank == 3
    if rank not in (3, 4) or order == "OIHW":
        return Layout("OIW" if short else "OIHW") if rank in (3, 4) else PLAIN
    if order == "OHWI":
        return Layout("OWI" if short else "OHWI", (0, *range(2, rank), 1))
    return Layout("1WC" if short else "1HWC", (*range(1, rank), 0))


def matrix_layout(transposed: bool, order: str) -> Layout:
    """Return the layout of a Gemm's B.

    transposed: whether ONNX has B as (O, I) already, which is the order that 'OHWI' asks for.
    order: one of WEIGHTS.
    """
    if transposed:
        return Layout("OI")
    return Layout("IO") if order == "OIHW" else Layout("OI", (1, 0))
