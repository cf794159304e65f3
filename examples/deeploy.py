"""PULP's RequantShift, and the folders in which Deeploy keeps a test: read, run, written and compared.

    python examples/deeploy.py FOLDER             # run it, and compare its outputs
    python examples/deeploy.py FOLDER DUMP.npz    # its activations and outputs, for qdqnp compare

A folder has network.onnx, inputs.npz and outputs.npz, with one array for each input and output in the order of
the network, and, where it was kept, activations.npz. All hold integers, whatever their dtype; the network declares
them as float32. Source: pulp-platform/Deeploy, DeeployTest/generateNetwork.py and DeeployTest/Tests.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import qdqnp


class RequantShift:
    """clip((x * mul + add + div / 2) >> log2(div)), to n_levels codes, signed or not; mul and add by channel, or one.

    Source: pulp-platform/Deeploy, TargetLibraries/Generic/src/RequantShift_s8.c, which adds half of `div` before the
    shift, and works in int32. It is exact: integers below 2^53, in float64.
    """

    op_domain = ""  # as Deeploy's exporters write it, though ONNX has no such operator
    exact = True

    def _run(self, x, mul, add, div=None, n_levels=None, n_levels_out=None, signed=None):
        def number(value, otherwise):
            return otherwise if value is None else int(np.asarray(value).reshape(-1)[0])

        levels, step = number(n_levels_out, number(n_levels, 256)), number(div, 1)
        low = -(levels // 2) if number(signed, 1) else 0
        wide, factor, bias = (array.astype(np.int64) for array in (x, mul, add))
        sums = wide * factor + bias
        wrapped = sums.astype(np.int32).astype(np.int64)
        codes = np.clip((wrapped + step // 2) >> step.bit_length() - 1, low, low + levels - 1)
        return (codes.astype(x.dtype),)


#: The same operator in the domains of other exporters.
OPERATORS = [
    RequantShift,
    type("RequantShift", (RequantShift,), {"op_domain": "PACTOps"}),
    type("RequantShift", (RequantShift,), {"op_domain": "ai.onnx.contrib"}),
]


def read_folder(folder: Path) -> tuple[qdqnp.Model, dict[str, np.ndarray], list[np.ndarray]]:
    """Return the network of a folder, its inputs by name, and the outputs that it must have, in their order."""
    model = qdqnp.load(folder / "network.onnx", operators=OPERATORS)
    tensors = model.program().tensors
    with np.load(folder / "inputs.npz") as file:
        given = dict(zip(model.graph.inputs, file.values(), strict=False))  # weights may follow
    inputs = {name: array.astype(tensors[name].dtype) for name, array in given.items()}
    with np.load(folder / "outputs.npz") as file:
        return model, inputs, list(file.values())


def write_folder(folder: Path, network: Path, inputs: Mapping[str, np.ndarray]) -> None:
    """Write the folder of a network: its outputs, and every tensor on the way, as integers."""
    model = qdqnp.load(network, operators=OPERATORS)
    trace = model.trace(inputs)
    folder.mkdir()
    (folder / "network.onnx").write_bytes(network.read_bytes())
    made = {name: array for name, array in trace.items() if name not in model.graph.inputs}
    for file, arrays in (
        ("inputs.npz", [inputs[name] for name in model.graph.inputs]),
        ("outputs.npz", [trace[name] for name in model.graph.outputs]),
    ):
        np.savez(folder / file, *[integers(array) for array in arrays])
    np.savez(folder / "activations.npz", **{name: integers(array) for name, array in made.items()})


def as_dump(folder: Path, out: Path) -> None:
    """Write the activations and outputs of a folder as a dump for `qdqnp compare`, in the float32 of the network."""
    model = qdqnp.load(folder / "network.onnx", operators=OPERATORS)
    with np.load(folder / "outputs.npz") as file:
        found = dict(zip(model.graph.outputs, file.values(), strict=True))
    if (folder / "activations.npz").exists():
        with np.load(folder / "activations.npz") as file:
            found = {**file, **found}
    np.savez(out, **{name: array.astype(np.float32) for name, array in found.items()})


def integers(array: np.ndarray) -> np.ndarray:
    """Return the same values as int64. Raises ValueError where they are no integers."""
    whole = array.astype(np.int64)
    if not np.array_equal(whole, array):
        raise ValueError("the values are no integers")
    return whole


def main(folder: Path) -> int:
    """Run a folder, and say how many elements of each output differ. The result is 1 where any does."""
    model, inputs, expected = read_folder(folder)
    outputs = model.run(inputs)
    differing = 0
    for name, wanted in zip(model.graph.outputs, expected, strict=True):
        count = int(np.count_nonzero(outputs[name].reshape(-1) != wanted.reshape(-1)))
        differing += count
        print(f"{name}: {count} of {wanted.size} elements differ")
    return int(differing > 0)


if __name__ == "__main__":
    paths = [Path(text) for text in sys.argv[1:]]
    sys.exit(main(*paths) if len(paths) == 1 else as_dump(*paths))
