"""Float convolutions in the memory of a run: the same computation as the definition's."""

from __future__ import annotations

from collections.abc import Sequence

from qdqnp.executor.fast.kernel import Definition
from qdqnp.kernels.scratch import Scratch
from qdqnp.ops.float.conv import Conv
from qdqnp.quant import Array


class FloatConvolution(Definition):
    """The definition, which lends its memory from the run."""

    def __call__(self, arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
        assert isinstance(self.operator, Conv)
        return self.operator.compute_in(scratch, self.binding, *arrays)  # type: ignore[arg-type]
