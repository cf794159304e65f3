"""The arrays that a run starts from: checked against what the model declares, codes in the place of real values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qdqnp.errors import InputError, Problems
from qdqnp.executor.plan import Plan
from qdqnp.graph import Shape
from qdqnp.program import Program, Step, Tensor
from qdqnp.quant import Array, shifted

#: Arrays by input name, or the array of a model with one input.
Inputs = Mapping[str, Array] | Array


def feeds_for(plan: Plan, inputs: Inputs, keep_all: bool = False) -> dict[str, Array]:
    """Return the arrays to start from, by tensor name: the inputs, or codes in place of the output of their quantizer.

        keep_all: whether every tensor is kept to the end, as in a trace.

    Raises InputError, which lists every input that is missing, unknown, or of the wrong dtype, rank or shape.
    """
    program = plan.program
    given = _by_name(program, inputs)
    problems = Problems()
    feeds: dict[str, Array] = {}
    sizes: dict[str, tuple[str, int]] = {}
    for name in program.inputs:
        if name not in given:
            problems.add(f"input '{name}'", "an array", "nothing", f"Pass one by name; {_listing(program)}")
            continue
        array = np.asarray(given[name])
        tensor = program.tensors[name]
        quantizers = [] if array.dtype == tensor.dtype else _quantizers(program, tensor, array)
        if array.dtype != tensor.dtype and not quantizers:
            problems.add(f"input '{name}'", _dtypes(program, tensor), array.dtype, "Convert it with astype().")
        elif _fits(array, tensor, sizes, problems):
            targets = [step.output_names[0] for step in quantizers] or [name]
            feeds.update((target, shifted(array, program.tensors[target].dtype)) for target in targets)
    for name in given:
        if name not in program.inputs:
            problems.add(f"input '{name}'", "a name of the model's inputs", "another", _listing(program))
    problems.raise_if_any("the inputs do not fit the model", InputError)
    values = {name: np.asarray(given[name]) for name in plan.size_inputs}
    plan.admit({name: np.shape(given[name]) for name in program.inputs}, keep_all, values)
    return feeds


def _by_name(program: Program, inputs: Inputs) -> Mapping[str, Array]:
    if isinstance(inputs, Mapping):
        return inputs
    if len(program.inputs) != 1:
        problems = Problems()
        problems.add("inputs", "a mapping by name", type(inputs).__name__, _listing(program))
        problems.raise_if_any("the model has not exactly one input", InputError)
    return {program.inputs[0]: np.asarray(inputs)}


def _listing(program: Program) -> str:
    listed = [f"'{name}' {program.tensors[name].dtype}{_dims(program.tensors[name])}" for name in program.inputs[:20]]
    more = len(program.inputs) - len(listed)
    return f"The model's inputs: {', '.join(listed)}{f' and {more} more' if more else ''}"


def _dims(tensor: Tensor) -> str:
    return sizes_text(tensor.shape)


def sizes_text(shape: Shape) -> str:
    """Return sizes as text, such as [1, N, ?]."""
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def _readers(program: Program, name: str) -> list[Step]:
    return [step for step in program.steps if name in step.input_names]


def _quantizers(program: Program, tensor: Tensor, array: Array) -> Sequence[Step]:
    """Return the QuantizeLinear steps whose codes `array` may replace.

    They are all readers of the input where all are such steps and alike; else the result is empty.
    """
    readers = _readers(program, tensor.name)
    quants = [step.outputs[0].quant for step in readers if step.quantizes]
    if not readers or len(quants) != len(readers) or tensor.name in program.outputs:
        return []
    first = quants[0]
    alike = first is not None and all(quant is not None and quant.same_as(first) for quant in quants)
    return readers if alike and _file_dtype(program, readers[0]) == array.dtype else []


def codes_taken(program: Program, tensor: Tensor) -> np.dtype[Any] | None:
    """Return the dtype of the codes that a run takes in place of an input; None where its readers make no codes."""
    step = next((step for step in _readers(program, tensor.name) if step.quantizes), None)
    return None if step is None else _file_dtype(program, step)


def _file_dtype(program: Program, quantizer: Step) -> np.dtype[Any]:
    """Return the dtype of a QuantizeLinear's codes in the model file."""
    made = program.tensors[quantizer.output_names[0]]
    return made.file_dtype or made.dtype


def _dtypes(program: Program, tensor: Tensor) -> str:
    readers = _readers(program, tensor.name)
    quants = {str(_file_dtype(program, step)) for step in readers if step.quantizes}
    return " or ".join([str(tensor.dtype), *(f"{kind} codes" for kind in sorted(quants))])


def _fits(array: Array, tensor: Tensor, sizes: dict[str, tuple[str, int]], problems: Problems) -> bool:
    """Check rank and sizes; a symbolic size must be the same wherever its name stands."""
    where = f"input '{tensor.name}'"
    if array.ndim != len(tensor.shape):
        problems.add(where, f"rank {len(tensor.shape)}, shape {_dims(tensor)}", f"shape {list(array.shape)}")
        return False
    good = True
    for axis, (size, want) in enumerate(zip(array.shape, tensor.shape, strict=True)):
        if isinstance(want, int) and size != want:
            problems.add(f"{where}, axis {axis}", str(want), size)
            good = False
        elif isinstance(want, str) and sizes.setdefault(want, (where, size))[1] != size:
            first, value = sizes[want]
            problems.add(f"{where}, axis {axis} ('{want}')", f"{value}, as in {first}", size)
            good = False
    return good


def code_outputs(program: Program) -> dict[str, str]:
    """Return the name of the tensor that holds the codes of each output, by output name.

    This tensor is the input of the output's final DequantizeLinear, or the output itself. Raises InputError for outputs
    that do not have codes.
    """
    problems = Problems()
    found: dict[str, str] = {}
    for name in program.outputs:
        maker = program.makers.get(name)
        if maker is not None and maker.dequantizes and maker.inputs[0] is not None:
            found[name] = maker.inputs[0].name
        elif program.tensors[name].dtype.kind in "iub":
            found[name] = name
        else:
            problems.add(
                f"output '{name}'",
                "the result of a DequantizeLinear, or codes",
                f"the result of {maker.op if maker else 'no step'}",
                "Ask for float outputs.",
            )
    problems.raise_if_any("outputs without codes", InputError)
    return found
