"""Read inputs from .npy and .npz files, split into runs where they hold more than one batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from qdqnp.element_types import from_plain
from qdqnp.errors import InputError, Problem, Problems
from qdqnp.files.npy import Arrays, Header
from qdqnp.files.paths import reason
from qdqnp.files.regular import read_bytes
from qdqnp.files.run_results import MAX_BYTES as MAX_RESULTS
from qdqnp.files.run_results import read_inputs
from qdqnp.inputs.arrays import input_arrays
from qdqnp.inputs.validated import Validated, validated
from qdqnp.program import Program, Tensor
from qdqnp.quant import Array

Feeds = dict[str, Array]


def read_feeds(path: Path, program: Program) -> Iterator[Feeds]:
    """Yield inputs by name from one file, one set for each run.

        path: .npy: the model's only input. .npz: arrays under the input names, or one array of any name for the only
            input. Of ST Edge AI's `*_val_io.npz`, what the device was given, else what the original model was given.
            .json: the inputs that `polygraphy --save-inputs` wrote.
        program: the model.

    An array whose first axis is a multiple of the declared batch is split along it. Arrays that the model does not need
    are not unpacked, and those that it needs only once all of them have its ranks and sizes. Raises InputError.
    """
    if path.suffix == ".json":
        for given in _of_polygraphy(path, program):
            yield from split_batches(given, program)
        return
    with input_arrays(path) as arrays:
        alone = len(program.inputs) == 1 and len(arrays.names) == 1
        names = {name: arrays.names[0] if alone else name for name in program.inputs}
        missing = [name for name in names.values() if name not in arrays.names]
        of_st = validated(arrays.names, program) if missing or alone else None
        if of_st is not None:
            found = _of_st(of_st, arrays, program, path)
        elif missing:
            problem = Problem(f"file {path.name}", f"arrays for the inputs {missing}", f"arrays {sorted(arrays.names)}")
            raise InputError("an input file lacks an input of the model", [problem])
        else:
            problems = Problems()
            for name, held in names.items():
                header = arrays.header(held)
                _check(header.shape, header, program.tensors[name], path, problems)
            problems.raise_if_any("the inputs do not fit the model", InputError)
            found = {name: from_plain(arrays.read(held), program.tensors[name].dtype) for name, held in names.items()}
    yield from split_batches(found, program)


def _of_polygraphy(path: Path, program: Program) -> Iterator[Feeds]:
    """Yield the inputs of each iteration in a file of Polygraphy's."""
    try:
        iterations = read_inputs(read_bytes(path, MAX_RESULTS))
    except (OSError, ValueError) as error:
        problem = Problem(f"file {path}", "inputs as Polygraphy saves them", reason(error))
        raise InputError("an input file cannot be read", [problem]) from error
    for arrays in iterations:
        problems = Problems()
        for name in program.inputs:
            if name not in arrays:
                problems.add(f"file {path.name}", f"an array for the input '{name}'", f"arrays {sorted(arrays)}")
            else:
                got = f"{arrays[name].dtype} of shape {list(arrays[name].shape)}"
                _check(arrays[name].shape, got, program.tensors[name], path, problems)
        problems.raise_if_any("the inputs do not fit the model", InputError)
        yield {name: from_plain(arrays[name], program.tensors[name].dtype) for name in program.inputs}


def _of_st(names: Mapping[str, Validated], arrays: Arrays, program: Program, path: Path) -> Feeds:
    """Read the inputs of a file of ST Edge AI's."""
    problems = Problems()
    for name, held in names.items():
        tensor = program.tensors[name]
        _check(held.shape(arrays, tensor), arrays.header(held.name), tensor, path, problems)
    problems.raise_if_any("the inputs do not fit the model", InputError)
    return {name: held.read(arrays, program, program.tensors[name]) for name, held in names.items()}


def _check(shape: tuple[int, ...], header: Header | str, tensor: Tensor, path: Path, problems: Problems) -> None:
    """Note where an array, of any batch, cannot be the input: `Model.run` says more of what is left.

    shape: that of the array in the order of the model's axes.
    """
    declared = list(tensor.shape)
    sizes = zip(shape[1:], declared[1:], strict=False)
    if len(shape) != len(declared) or any(isinstance(size, int) and size != got for got, size in sizes):
        problems.add(f"input '{tensor.name}' in {path.name}", f"the shape {declared}", header)


def split_batches(arrays: Mapping[str, Array], program: Program) -> Iterator[Feeds]:
    """Yield runs of the declared batch size, where every input holds the same multiple of it; else all in one run."""
    runs = {_runs(array, program.tensors[name].shape) for name, array in arrays.items()}
    count = runs.pop() if len(runs) == 1 else 1
    if count == 1:
        yield dict(arrays)
        return
    sizes = {name: array.shape[0] // count for name, array in arrays.items()}
    for index in range(count):
        yield {name: array[index * sizes[name] : (index + 1) * sizes[name]] for name, array in arrays.items()}


def _runs(array: Array, declared: tuple[object, ...]) -> int:
    batch = declared[0] if declared else None
    if array.ndim != len(declared) or not isinstance(batch, int) or batch < 1 or array.shape[0] % batch:
        return 1
    if array.nbytes == 0:  # such an array may have any length, and there is nothing to split
        return 1
    return max(1, int(array.shape[0]) // batch)
