"""Quantize a float ONNX model to 8 bits with onnxruntime, as the publishers of STM32 models do.

`quant_pre_process` folds BatchNormalization and removes what is computed twice; `quantize_static` (QDQ, int8,
symmetric weights with a scale per channel, asymmetric activations, MinMax) does the rest. The pictures to
calibrate on come from a folder or an .npz.

    python -m tools.models.quantize float.onnx int8.onnx --pictures photographs --resize 256 --crop 224 224
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto
from rich.console import Console
from rich.progress import track

from qdqnp.errors import InputError, ModelError, Problem, Problems, QdqnpError
from qdqnp.inputs.pictures import Picture, list_pictures
from tools.models.calibration import IMAGENET_MEAN, IMAGENET_STD, Preparation, preparation, spread
from tools.models.files import write_model


@dataclass(frozen=True)
class Recipe:
    """The settings of a quantization; the defaults are those of ST's publishers. The names are those of the command
    line."""

    #: Dtype of activations: 8 or 16 bits.
    activations: str = "int8"
    #: Whether weights have a scale per channel.
    per_channel: bool = True
    #: 'qdq' or 'qoperator'.
    format: str = "qdq"
    #: Dtype of weights: 4 or 8 bits.
    weights: str = "int8"
    #: Whether weights have 7 bits, which keeps CPUs without VNNI from saturating.
    reduce_range: bool = False
    #: Whether Relu and Clip stay where their Q implies them.
    keep_activations: bool = False
    #: Whether activations are symmetric too, with a zero point of 0.
    symmetric: bool = False


def preprocess(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the float model that gets quantized: BatchNormalization folded, common subexpressions merged."""
    from onnxruntime.quantization import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder) / "float.onnx", Path(folder) / "preprocessed.onnx"
        onnx.save(model, source)
        quant_pre_process(source, result, skip_optimization=False, skip_symbolic_shape=True)
        return onnx.load(result)


def quantize(preprocessed: onnx.ModelProto, batches: Iterable[NDArray[np.float32]], recipe: Recipe) -> onnx.ModelProto:
    """Return the 8-bit model of a preprocessed float one; it is calibrated on `batches`, float32 NCHW."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    types = {kind.name[1:].lower(): kind for kind in QuantType}  # QuantType.QInt8 is 'int8'
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder) / "float.onnx", Path(folder) / "quantized.onnx"
        # From a file, because a model in memory comes back with its tensors pointing into a folder that is gone.
        onnx.save(preprocessed, source)
        quantize_static(
            source,
            result,
            _calibration_reader(preprocessed.graph.input[0].name, iter(batches)),
            quant_format=QuantFormat.QDQ if recipe.format == "qdq" else QuantFormat.QOperator,
            per_channel=recipe.per_channel,
            reduce_range=recipe.reduce_range,
            weight_type=types[recipe.weights],
            activation_type=types[recipe.activations],
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={
                "WeightSymmetric": recipe.weights in ("int4", "int8"),
                "ActivationSymmetric": recipe.symmetric,
                "QDQKeepRemovableActivations": recipe.keep_activations,
            },
        )
        return onnx.load(result)


def _calibration_reader(input_name: str, batches: Iterator[NDArray[np.float32]]):  # type: ignore[no-untyped-def]
    """Return onnxruntime's interface for calibration data around `batches`."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            batch = next(batches, None)
            return None if batch is None else {input_name: batch}

    return Reader()


def prepared(
    pictures: Sequence[Picture], prepare: Preparation, model: onnx.ModelProto, title: str = "calibrating"
) -> Iterator[NDArray[np.float32]]:
    """Yield the pictures as inputs of the model, one at a time, under a progress bar. Raises if they do not fit."""
    expected = _picture_size(model)
    progress = track(pictures, title, len(pictures), console=Console(stderr=True), transient=True)
    for index, picture in enumerate(progress):
        batch = prepare(picture)
        if any(isinstance(want, int) and want != got for want, got in zip(expected, batch.shape[2:], strict=True)):
            wanted = "x".join(str(length) for length in expected)
            got = "x".join(str(length) for length in batch.shape[2:])
            hint = "Choose --resize and --crop so that they fit."
            problem = Problem(f"picture {index}", f"{wanted} (height x width)", got, hint)
            raise InputError("The pictures do not fit the model's input", [problem])
        yield batch


def _picture_size(model: onnx.ModelProto) -> list[int | str]:
    """Return height and width of the model's input; a name stands for a size that is left open."""
    shape = model.graph.input[0].type.tensor_type.shape
    return [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "any" for dim in shape.dim[2:]]


def read_float_model(path: Path) -> onnx.ModelProto:
    """Read a float model with one input for RGB pictures; raise an error that says why it is not one."""
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf, the checker and the file system each raise their own
        problem = Problem(str(path), "a valid ONNX file", str(error) or type(error).__name__)
        raise ModelError("The model cannot be read", [problem]) from error
    problems = Problems()
    _check_input(model, problems)
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset < 13:
        hint = "Export it again, at opset 17: per-channel QuantizeLinear came with 13."
        problems.add(str(path), "opset 13 or later", f"opset {opset}", hint)
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node):
        problems.add(str(path), "a float model", "one that is already quantized", "Start from the float file.")
    problems.raise_if_any("The model cannot be quantized")
    return model


def _check_input(model: onnx.ModelProto, problems: Problems) -> None:
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        problems.add("inputs", "one", f"{len(inputs)}: {', '.join(value.name for value in inputs)}")
        return
    tensor = inputs[0].type.tensor_type
    if tensor.elem_type != TensorProto.FLOAT:
        problems.add(f"input {inputs[0].name}", "float32", TensorProto.DataType.Name(tensor.elem_type).lower())
    if len(tensor.shape.dim) != 4 or tensor.shape.dim[1].dim_value != 3:
        shape = tuple(dim.dim_value or dim.dim_param for dim in tensor.shape.dim)
        problems.add(f"input {inputs[0].name}", "shape (batch, 3, height, width)", shape)


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--pictures",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="What to calibrate on: a folder, or an .npz with x (uint8 NHWC).",
)
@click.option("--count", type=click.IntRange(1), help="How many of the pictures, evenly spread.  [default: all]")
@click.option("--activations", type=click.Choice(["int8", "uint8"]), default="int8", show_default=True)
@click.option("--per-channel/--per-tensor", default=True, show_default=True, help="Scales of the weights.")
@click.option("--format", "format_", type=click.Choice(["qdq", "qoperator"]), default="qdq", show_default=True)
@click.option("--scale", type=float, default=1 / 255, help="x becomes (x * scale - mean) / std.  [default: 1/255]")
@click.option("--mean", type=float, nargs=3, default=IMAGENET_MEAN, show_default=True)
@click.option("--std", type=float, nargs=3, default=IMAGENET_STD, show_default=True)
@click.option("--resize", type=click.IntRange(1), help="Bring the shorter side to this length first.")
@click.option("--crop", type=click.IntRange(1), nargs=2, help="Then cut out the centre of this height and width.")
def main(
    model: Path,
    output: Path,
    pictures: Path,
    count: int | None,
    activations: str,
    per_channel: bool,
    format_: str,
    scale: float,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    resize: int | None,
    crop: tuple[int, int] | None,
) -> None:
    """Quantize the float MODEL and write it to OUTPUT."""
    try:
        float_model = preprocess(read_float_model(model))
        source = list_pictures(pictures)
        source = spread(source, count) if count else source
        batches = prepared(source, preparation(scale, mean, std, resize, crop), float_model)
        write_model(output, quantize(float_model, batches, Recipe(activations, per_channel, format_)))
    except QdqnpError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{output}: calibrated on {len(source)} pictures")


if __name__ == "__main__":
    main()
