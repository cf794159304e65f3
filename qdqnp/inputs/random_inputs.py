"""Draw seeded random inputs that reach the whole code range of the quantizer that reads them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qdqnp.errors import InputError, Problem
from qdqnp.program import Program, Tensor
from qdqnp.quant import Array, code_range


def random_feeds(program: Program, count: int, seed: int) -> Iterator[dict[str, Array]]:
    """Yield `count` sets of inputs by name. Unknown sizes become 1; the same seed gives the same arrays.

    Float inputs that a QuantizeLinear reads are uniform over its real range and a little beyond, so that codes saturate
    too. Other floats are standard normal; integers are uniform over their dtype.

    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> program = qdqnp.load(shipped_model("dla46_c_int8")).program()
    >>> [feeds["input"].shape for feeds in random_feeds(program, 2, seed=0)]
    [(1, 3, 32, 32), (1, 3, 32, 32)]
    """
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield {name: _array(program, program.tensors[name], rng) for name in program.inputs}


def _array(program: Program, tensor: Tensor, rng: np.random.Generator) -> Array:
    shape = tuple(size if isinstance(size, int) else 1 for size in tensor.shape)
    if tensor.dtype.kind in "iu":
        low, high = code_range(tensor.dtype)
        return rng.integers(low, high, shape, dtype=tensor.dtype, endpoint=True)
    if tensor.dtype != np.float32:
        raise InputError(
            "no random values for this input",
            [Problem(f"input '{tensor.name}'", "float32 or an integer type", str(tensor.dtype))],
        )
    for step in program.steps:
        quant = step.outputs[0].quant
        if step.quantizes and tensor.name in step.input_names and quant is not None and quant.per_tensor:
            low, high = quant.range
            reach = 0.02 * (high - low)
            codes = rng.uniform(low - reach, high + reach, shape)
            return ((codes - float(quant.zero_point)) * float(quant.scale)).astype(np.float32)
    return rng.standard_normal(shape, dtype=np.float32)
