"""Pools: the largest code of each window, and averages of windows and of planes."""

from __future__ import annotations

from qdqnp.golden_sets.harness.layer import LayerCode, NoKernelError, image_sizes, offset_of
from qdqnp.golden_sets.harness.sums import activation, window_fields
from qdqnp.graph import Sizes
from qdqnp.kernels.sums import Window
from qdqnp.ops.geometry.windows import window_for


def largest(code: LayerCode) -> None:
    """Write arm_max_pool_s8."""
    if len(code.step.outputs) > 1:
        raise NoKernelError("the largest codes alone", "their places too")
    _pool(code, "arm_max_pool_s8", _window(code), "{-128, 127}")


def average(code: LayerCode) -> None:
    """Write arm_avgpool_s8, which divides by the codes of a window that lie inside the image."""
    window = _window(code)
    if window.kernel == image_sizes(code.shape(0))[1:3] and not any(window.pads):
        return plane(code)
    if not code.quant(0).same_as(code.y):
        raise NoKernelError("one scale and zero point of input and output", "two")
    if code.step.attributes.count_include_pad and not _all_inside(code, window):
        raise NoKernelError("averages of what lies inside the image", "padding that counts")
    _pool(code, "arm_avgpool_s8", window, activation(code.y))
    return None


def plane(code: LayerCode) -> None:
    """Write arm_avgpool_s8 over whole planes. It cannot rescale: between two scales the harness' own loop does what
    TFLite Micro's MEAN does."""
    n, h, w, c = image_sizes(code.shape(0))
    if code.quant(0).same_as(code.y):
        whole = Window((h, w), (1, 1), (1, 1), (0, 0, 0, 0))
        _pool(code, "arm_avgpool_s8", whole, activation(code.y))
        return
    found = code.numbers()
    numbers = (int(found["multiplier"]), int(found["output_shift"]))
    code.plain_call(
        "qdqnp_mean_s8",
        *(code.input(), n, h * w, c, offset_of(code.quant(0)), *numbers),
        *(code.output(), int(code.y.zero_point), *code.y.range),
    )


def _pool(code: LayerCode, kernel: str, window: Window, limits: str) -> None:
    sizes, out = image_sizes(code.shape(0)), image_sizes(code.output_shape)
    stride, padding, _ = window_fields(window)
    params = code.struct("cmsis_nn_pool_params", "params", stride, padding, limits)
    dims, filter_dims = code.dims("input_dims", sizes), code.dims("filter_dims", (1, *window.kernel, 1))
    output_dims = code.dims("output_dims", out)
    if kernel == "arm_avgpool_s8":
        code.wants_scratch(f"arm_avgpool_s8_get_buffer_size({out[2]}, {out[3]})", 4 * out[3])
    code.call(kernel, "scratch", params, dims, code.input(), filter_dims, output_dims, code.output())


def _window(code: LayerCode) -> Window:
    attributes, shape = code.step.attributes, code.shape(0)
    if len(shape) not in (3, 4):
        raise NoKernelError("windows in one or two axes", f"{len(shape) - 2}")
    found = window_for(attributes, attributes.kernel_shape, shape[2:])
    if found.dilations != (1, 1):
        raise NoKernelError("windows without dilation", str(list(found.dilations)))
    return found


def _all_inside(code: LayerCode, window: Window) -> bool:
    """Tell whether no window leaves the image."""
    sizes: Sizes = image_sizes(code.shape(0))[1:3]
    out: Sizes = image_sizes(code.output_shape)[1:3]
    ends = zip(sizes, out, window.strides, window.kernel, strict=True)
    return not any(window.pads[:2]) and all((n - 1) * step + taps <= size for size, n, step, taps in ends)
