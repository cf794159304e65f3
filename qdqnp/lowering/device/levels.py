"""The lowerings of fixed-point profiles: one, but for how an activation's bounds become codes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from qdqnp.lowering.base import Lowering, Pass, repeat
from qdqnp.lowering.device.activations import Rounded, activations, rounded_away, rounded_even
from qdqnp.lowering.device.bias import bias
from qdqnp.lowering.device.constants import constants
from qdqnp.lowering.device.fuse import Codes, fusion
from qdqnp.lowering.device.interpolation import interpolation
from qdqnp.lowering.device.maxima import maxima
from qdqnp.lowering.device.means import means
from qdqnp.lowering.device.movement import ROUNDED_SCALE, movement
from qdqnp.lowering.device.scaled_weights import scaled_weights
from qdqnp.lowering.device.widen import widen
from qdqnp.lowering.ort.levels import GEMM_TRANSPOSE, INSERT_CASTS, MATMUL_ADD, UNIQUE_DQ
from qdqnp.lowering.ort.passes.conv_constants import conv_constants
from qdqnp.lowering.ort.passes.cse import cse
from qdqnp.lowering.ort.passes.eliminate import eliminate
from qdqnp.lowering.ort.passes.fold_constants import fold_constants
from qdqnp.lowering.ort.passes.matmul_bn import matmul_bn
from qdqnp.lowering.ort.passes.pad_fusion import pad_fusion
from qdqnp.lowering.ort.passes.reshapes import reshapes
from qdqnp.lowering.ort.passes.share_constants import share_constants
from qdqnp.lowering.ort.passes.weight_bias import weight_bias
from qdqnp.quant import ACTIVATIONS, EIGHT_BIT, SIXTEEN_BIT

#: The lowerings by name: how the bounds of an activation become codes.
ROUNDED: Mapping[str, Rounded] = {
    "device": rounded_away,
    "device-16x8": rounded_away,
    "device-exact": rounded_even,
}
#: The types of activations that they have kernels of: TFLite's 16-bit ones have no zero points.
CODES: Mapping[str, Codes] = {
    "device": Codes(),
    "device-16x8": Codes((*EIGHT_BIT, SIXTEEN_BIT[0]), SIXTEEN_BIT[:1]),
    "device-exact": Codes(ACTIVATIONS),
}


@cache
def device(name: str, left: frozenset[tuple[str, str]] = frozenset()) -> Lowering:
    """Return a lowering that makes integer what a device's converter would.

    left: labels of nodes that stay in float, each with the reason.
    """
    rounded, fuse = ROUNDED[name], fusion(dict(left), CODES[name])
    prepared = (
        Pass("eliminate", eliminate),
        GEMM_TRANSPOSE,
        Pass("conv-constants", conv_constants, about="Conv"),
        Pass("pad-fusion", pad_fusion, about="Pad"),
        Pass("matmul-bn", matmul_bn, about="BatchNormalization"),
        Pass("share-constants", share_constants, once=True),
        Pass("cse", cse),
        Pass("fold-constants", fold_constants),
        MATMUL_ADD,
        Pass("reshapes", reshapes, about="Reshape"),
        Pass("means", means, about="ReduceMean"),
        Pass("maxima", maxima, about="GlobalMaxPool"),
        Pass("activations", activations(rounded), about="QuantizeLinear"),
        Pass("scaled-weights", scaled_weights),
        Pass("weight-bias", weight_bias),
        UNIQUE_DQ,
        Pass("widen", widen, about="DequantizeLinear"),
        Pass("movement", movement(0.0 if rounded is rounded_even else ROUNDED_SCALE)),
        Pass("constants", constants, about="QuantizeLinear"),
        Pass("bias", bias, about="DequantizeLinear"),
    )
    between = Pass("interpolation", interpolation(dict(left)), about="Resize")
    return Lowering(name, (UNIQUE_DQ, repeat("prepare", prepared), between, Pass("fuse", fuse), INSERT_CASTS))


DEVICE = device("device")
DEVICE_16X8 = device("device-16x8")
EXACT = device("device-exact")
