"""Time single QLinearConv layers in qdqnp and in ONNX Runtime, taking turns, on one thread by default.

    python -m tools.bench.bench_conv --repeats 20 --markdown layers.md

The layers are those of Deep Layer Aggregation at 224x224, with seeded weights. ONNX Runtime runs each with int8
activations, whose outputs must be qdqnp's bit for bit, and as the same computation with uint8 activations.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from qdqnp.errors import QdqnpError
from tools.bench.bench import measure_apart
from tools.bench.candidates import LABELS, ORT_DEFAULT, ORT_INT8, ORT_UINT8, QDQNP, REFERENCE, Case, why_slow
from tools.bench.tables import Table, load_average, milliseconds, publish
from tools.models.files import write_model

CANDIDATES = (QDQNP, ORT_INT8, ORT_UINT8)
ZERO_POINT = 5  # of int8 inputs and outputs: not 0, so that padding has a value of its own


@dataclass(frozen=True)
class ConvLayer:
    """A convolution with a square kernel over a square picture, padded so that stride 1 keeps the size."""

    #: Number of input channels.
    inputs: int
    #: Number of output channels.
    outputs: int
    #: Size of the kernel.
    kernel: int
    #: Height and width of the picture.
    size: int
    #: Number of groups.
    groups: int = 1
    #: The stride.
    stride: int = 1

    @property
    def name(self) -> str:
        parts = [f"conv{self.kernel}x{self.kernel}", f"{self.inputs}to{self.outputs}", f"{self.size}x{self.size}"]
        parts += [f"groups{self.groups}"] if self.groups > 1 else []
        parts += [f"stride{self.stride}"] if self.stride > 1 else []
        return "_".join(parts)


LAYERS = (
    ConvLayer(3, 16, 7, 224),
    ConvLayer(16, 16, 7, 224),
    ConvLayer(16, 16, 3, 224),
    ConvLayer(16, 32, 3, 224, stride=2),
    ConvLayer(32, 64, 1, 112),
    ConvLayer(64, 64, 3, 112, groups=32, stride=2),
    ConvLayer(64, 64, 3, 56, groups=32),
    ConvLayer(128, 64, 1, 56),
    ConvLayer(128, 128, 3, 28, groups=32),
    ConvLayer(320, 128, 1, 14),
    ConvLayer(256, 256, 3, 7, groups=32),
    ConvLayer(256, 1000, 1, 1),
)


def build_layer(layer: ConvLayer, dtype: type[np.integer[Any]], seed: int = 0) -> onnx.ModelProto:
    """Build a model of one QLinearConv; the uint8 one computes the same numbers as the int8 one, with codes 128 higher.

    The scales are such that the output codes spread over their range and reach beyond it.
    """
    random = np.random.default_rng(seed)
    shape = (layer.outputs, layer.inputs // layer.groups, layer.kernel, layer.kernel)
    zero = np.array(ZERO_POINT + (128 if dtype is np.uint8 else 0), dtype)
    # Codes are uniform over 8 bits, with a standard deviation of 74: sums of n products spread by 74 * 74 * sqrt(n).
    spread = 74 * 74 * np.sqrt(np.prod(shape[1:]))
    constants = {
        "x_scale": np.float32(0.02),
        "x_zero": zero,
        "w": random.integers(-127, 128, shape).astype(np.int8),
        "w_scale": random.uniform(0.002, 0.004, layer.outputs).astype(np.float32),
        "w_zero": np.zeros(layer.outputs, np.int8),
        "y_scale": np.float32(0.02 * 0.003 * spread / 50),
        "y_zero": zero,
        "bias": random.integers(-(spread // 4), spread // 4, layer.outputs).astype(np.int32),
    }
    pad = layer.kernel // 2
    inputs = ["x", *constants]
    node = helper.make_node(
        "QLinearConv",
        inputs,
        ["y"],
        layer.name,
        kernel_shape=[layer.kernel] * 2,
        strides=[layer.stride] * 2,
        pads=[pad] * 4,
        group=layer.groups,
    )
    code = TensorProto.UINT8 if dtype is np.uint8 else TensorProto.INT8
    size = (layer.size + 2 * pad - layer.kernel) // layer.stride + 1
    graph = helper.make_graph(
        [node],
        layer.name,
        [helper.make_tensor_value_info("x", code, [1, layer.inputs, layer.size, layer.size])],
        [helper.make_tensor_value_info("y", code, [1, layer.outputs, size, size])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_operatorsetid("", 17)], ir_version=8)


def measure_layer(layer: ConvLayer, threads: int, repeats: int) -> dict[str, Any]:
    """Return the layer's result, as `bench.measure` gives it, under the layer's name."""
    with tempfile.TemporaryDirectory() as folder:
        int8, uint8 = Path(folder) / f"{layer.name}.onnx", Path(folder) / f"{layer.name}_uint8.onnx"
        write_model(int8, build_layer(layer, np.int8))
        write_model(uint8, build_layer(layer, np.uint8))
        # Without QDQ in the file the default session is the int8-allowed one.
        skip = frozenset({ORT_DEFAULT, REFERENCE})
        return {**measure_apart(Case(int8, threads, repeats, uint8, skip=skip)), "model": layer.name}


def layers_table(results: Sequence[Mapping[str, Any]]) -> Table:
    """Make one row for each layer and thread count, the candidates side by side."""
    columns = ["layer", "threads", "runs"]
    for name in CANDIDATES:
        columns += [f"{LABELS[name]}, median ms", "min ms"]
    columns += ["qdqnp / int8 allowed", "qdqnp / uint8"]
    return Table(columns, [_row(result) for result in results])


def _row(result: Mapping[str, Any]) -> list[str]:
    timings = {timing["name"]: timing for timing in result["candidates"]}
    row = [result["model"], str(result["threads"]), str(timings[QDQNP]["runs"])]
    for name in CANDIDATES:
        row += [milliseconds(timings[name]["median_ms"]), milliseconds(timings[name]["min_ms"])]
    ours = timings[QDQNP]["median_ms"]
    return [*row, *(f"{ours / timings[name]['median_ms']:.2f}" for name in (ORT_INT8, ORT_UINT8))]


@click.command()
@click.option("--only", multiple=True, type=click.Choice([layer.name for layer in LAYERS]), help="[default: all]")
@click.option("--repeats", type=click.IntRange(1), default=10, show_default=True, help="Timed runs of each candidate.")
@click.option("--threads", type=click.IntRange(1), multiple=True, default=(1,), show_default=True)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON.")
@click.option("--markdown", "markdown_path", type=click.Path(dir_okay=False, path_type=Path), help="Write Markdown.")
def main(
    only: tuple[str, ...],
    repeats: int,
    threads: tuple[int, ...],
    json_path: Path | None,
    markdown_path: Path | None,
) -> None:
    """Time single convolution layers in qdqnp and in ONNX Runtime."""
    layers = [layer for layer in LAYERS if not only or layer.name in only]
    load_before = load_average()
    try:
        results = [measure_layer(layer, count, repeats) for layer in layers for count in threads]
        publish(layers_table(results), results, load_before, json_path, markdown_path, why_slow())
    except QdqnpError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
