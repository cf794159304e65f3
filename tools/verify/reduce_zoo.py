"""Reduce five failing models of the zoo: how few nodes are left, in how many runs?

    python -m tools.verify.reduce_zoo --out reduced

Each is a network of a hundred nodes or more, quantized by ONNX Runtime's quantizer, and a command that fails on it as a
vendor's compiler does: by exit code 1, for a pattern deep inside. Exit code 1 where five nodes or more are left.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click
import numpy as np
import onnx
from onnx import numpy_helper

MOST = 5
Made = Mapping[str, onnx.NodeProto]


def _makers(model: onnx.ModelProto) -> Made:
    return {name: node for node in model.graph.node for name in node.output}


def _before(made: Made, node: onnx.NodeProto, at: int, *ops: str) -> onnx.NodeProto | None:
    """Return what makes an input of a node, where going back from it these operators are met."""
    for op in ops:
        found = made.get(node.input[at]) if at < len(node.input) else None
        if found is None or found.op_type != op:
            return None
        node, at = found, 0
    return node


def requantized_add(model: onnx.ModelProto) -> bool:
    """An Add, one of whose inputs was quantized and dequantized."""
    made = _makers(model)
    adds = (node for node in model.graph.node if node.op_type == "Add")
    return any(_before(made, node, at, "DequantizeLinear", "QuantizeLinear") for node in adds for at in (0, 1))


def depthwise_then_relu(model: onnx.ModelProto) -> bool:
    """A Relu or Clip right behind a Conv of groups."""
    made = _makers(model)
    for node in model.graph.node:
        conv = made.get(node.input[0]) if node.op_type in ("Relu", "Clip", "QuantizeLinear") else None
        if conv is None or conv.op_type != "Conv":
            continue
        if any(one.name == "group" and one.i > 1 for one in conv.attribute):
            return True
    return False


def negative_weight(model: onnx.ModelProto) -> bool:
    """A DequantizeLinear of weights that hold the lowest code but for one, read by a Conv."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    made = _makers(model)
    for node in model.graph.node:
        pair = _before(made, node, 1, "DequantizeLinear") if node.op_type == "Conv" else None
        if pair is not None and pair.input[0] in constants:
            array = numpy_helper.to_array(constants[pair.input[0]])
            if array.dtype == np.int8 and (array == -127).any():
                return True
    return False


def gate(model: onnx.ModelProto) -> bool:
    """A Mul by what a Sigmoid or HardSigmoid made, through a pair."""
    made = _makers(model)
    pairs = ("DequantizeLinear", "QuantizeLinear")
    muls = [node for node in model.graph.node if node.op_type == "Mul"]
    return any(
        _before(made, node, at, *pairs, op) for node in muls for at in (0, 1) for op in ("Sigmoid", "HardSigmoid")
    )


def shuffled(model: onnx.ModelProto) -> bool:
    """A Transpose of what a Reshape made, through a pair or not."""
    made = _makers(model)
    ways = (("Reshape",), ("DequantizeLinear", "QuantizeLinear", "Reshape"), ("DequantizeLinear", "Reshape"))
    moved = (node for node in model.graph.node if node.op_type == "Transpose")
    return any(_before(made, node, 0, *way) is not None for node in moved for way in ways)


#: The network and its variant, and what a compiler fails on, by name.
FAULTS: Mapping[str, tuple[str, str, Callable[[onnx.ModelProto], bool]]] = {
    "requantized_add": ("residual", "qdq_s8s8_pc", requantized_add),
    "depthwise_then_relu": ("residual", "qdq_u8s8_pt_keep", depthwise_then_relu),
    "gate": ("residual", "qdq_u8u8_pt", gate),
    "negative_weight": ("shuffle", "qdq_s8s8_pt", negative_weight),
    "shuffled": ("shuffle", "qdq_u8s8_pc", shuffled),
}


def reduced(out: Path, only: tuple[str, ...]) -> Iterator[tuple[str, str, int, int, int, float]]:
    """Yield each fault with its model, the nodes before and after, the runs and the seconds."""
    from qdqnp.reduction import reduce  # the compiler that --fault is starts without them
    from tools.models.make_zoo import make_network, variants

    for name, (network, variant, _) in FAULTS.items():
        if only and name not in only:
            continue
        ((label, model),) = make_network(network, 0, {variant: variants()[variant]})
        command = f"{sys.executable} -m tools.verify.reduce_zoo --fault {name}"
        made = reduce(model, command)
        (out / f"{name}.onnx").write_bytes(made.model)
        yield name, label, made.before["nodes"], made.after["nodes"], made.runs, made.seconds


@click.command(help=__doc__)
@click.argument("model", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default="reduced", show_default=True)
@click.option("--only", multiple=True, type=click.Choice(sorted(FAULTS)), help="[default: all five]")
@click.option("--fault", type=click.Choice(sorted(FAULTS)), help="Be the compiler: exit code 1 where MODEL has it.")
def main(model: Path | None, out: Path, only: tuple[str, ...], fault: str | None) -> None:
    if fault is not None:
        if model is None:
            raise click.UsageError("--fault needs MODEL")
        sys.exit(FAULTS[fault][2](onnx.load(model)))
    out.mkdir(parents=True, exist_ok=True)
    click.echo("| fault | model | nodes | left | runs | seconds |\n|---|---|--:|--:|--:|--:|")
    worst = 0
    for name, label, before, after, runs, seconds in reduced(out, only):
        click.echo(f"| {name} | {label} | {before} | {after} | {runs} | {seconds:.0f} |")
        worst = max(worst, after)
    sys.exit(worst >= MOST)


if __name__ == "__main__":
    main()
