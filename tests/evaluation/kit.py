"""Networks whose answer is known, and pictures for them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

#: Rows: classes. The score of a class is the mean of one channel: red, green, blue.
COLOURS = np.eye(3, dtype=np.float32)


def network(
    weights: np.ndarray = COLOURS, *, batch: int | str = 1, size: int | str = 4, quantized: bool = True
) -> onnx.ModelProto:
    """A convolution, (classes, 3, 1, 1), and the mean over the picture: scores (N, classes). Quantized in steps of 1/4
    for pictures that are 0 to 31.75 once they are divided by 8."""
    constants: dict[str, Any] = {"s": np.float32(0.25), "z": np.int8(-128)}
    nodes, x, w = [], "x", "w"
    if quantized:
        constants |= {
            "ws": np.float32(1 / 64),
            "wz": np.int8(0),
            "w_q": np.round(weights * 64).astype(np.int8)[:, :, None, None],
        }
        nodes += [_node("QuantizeLinear", "x s z", "x_q"), _node("DequantizeLinear", "x_q s z", "x_d")]
        nodes += [_node("DequantizeLinear", "w_q ws wz", "w_d")]
        x, w = "x_d", "w_d"
    else:
        constants["w"] = weights[:, :, None, None].astype(np.float32)
    nodes.append(_node("Conv", f"{x} {w}", "c", kernel_shape=[1, 1]))
    if quantized:
        nodes += [_node("QuantizeLinear", "c s z", "c_q"), _node("DequantizeLinear", "c_q s z", "c_d")]
    nodes += [_node("GlobalAveragePool", "c_d" if quantized else "c", "g"), _node("Flatten", "g", "y", axis=1)]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, len(weights)])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _node(op: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], output, **attributes)


def save(path: Path, model: onnx.ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def picture(colour: int, level: int = 200, side: int = 4) -> np.ndarray:
    """uint8 (side, side, 3) of which one channel is the brightest."""
    made = np.full((side, side, 3), 16, np.uint8)
    made[..., colour] = level
    return made


def pictures(colours: Sequence[int]) -> np.ndarray:
    return np.stack([picture(colour, 100 + 3 * index) for index, colour in enumerate(colours)])


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(colour: int, level: int = 200) -> bytes:
    return encoded(Image.fromarray(picture(colour, level)))


def class_folders(folder: Path, colours: Sequence[int] = (0, 0, 1, 2)) -> Path:
    """A folder with a folder for each class."""
    for number, name in enumerate(("a red", "b green", "c blue")):
        (folder / name).mkdir(parents=True)
        for index, colour in enumerate(colours):
            if colour == number:
                (folder / name / f"{index}.png").write_bytes(png(colour, 100 + index))
    return folder
