"""How far the outputs of a network are from the float network's, and how many labels they hit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qdqnp.element_types import is_float
from qdqnp.layer_quality.sums import ErrorSums
from qdqnp.numerics.float32 import dequantize
from qdqnp.program import Program
from qdqnp.quant import Array


@dataclass
class OutputSums:
    """What was counted of a network's outputs, over any number of inputs."""

    #: All real outputs together, against the float network's.
    error: ErrorSums = field(default_factory=ErrorSums)
    #: Rows of the first output, and those whose largest value is where the float network's is.
    rows: int = 0
    agreeing: int = 0
    #: Rows that have a label, and those whose largest value is at it.
    labelled: int = 0
    correct: int = 0

    def add(self, outputs: Sequence[Array], wanted: Sequence[Array], labels: Array | None = None) -> None:
        """Add the outputs of one run.

        outputs: real arrays.
        wanted: the float network's, in the same order.
        labels: the class of each row of the first output, integers; None where there are none.
        """
        for made, real in zip(outputs, wanted, strict=True):
            self.error.add(real, made)
        if not outputs or outputs[0].ndim != 2 or outputs[0].shape[1] < 2:
            return
        best, theirs = outputs[0].argmax(axis=1), wanted[0].argmax(axis=1)
        self.rows += best.size
        self.agreeing += int(np.count_nonzero(best == theirs))
        if labels is not None:
            self.labelled += best.size
            self.correct += int(np.count_nonzero(best == labels))

    def include(self, other: OutputSums) -> None:
        """Add what others counted."""
        self.error.include(other.error)
        for name in ("rows", "agreeing", "labelled", "correct"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def as_partial(self) -> list[Any]:
        """Return the counts in lists that JSON has, without rounding."""
        return [self.error.as_partial(), self.rows, self.agreeing, self.labelled, self.correct]

    @classmethod
    def from_partial(cls, partial: Sequence[Any]) -> OutputSums:
        """Return what `as_partial` returned."""
        return cls(ErrorSums.from_partial(partial[0]), *partial[1:])

    @property
    def accuracy(self) -> float | None:
        """The share of rows whose largest value is at their label; None where there are no labels."""
        return self.correct / self.labelled if self.labelled else None

    def as_json(self) -> dict[str, Any]:
        counts = {name: getattr(self, name) for name in ("rows", "agreeing", "labelled", "correct")}
        return {"sqnr": self.error.sqnr, "cosine": self.error.cosine, "accuracy": self.accuracy, **counts}


def classes_of(program: Program) -> int | None:
    """Return the number of classes of a model whose first output is (N, classes); None of another, and where it is
    open."""
    shape = program.tensors[program.outputs[0]].shape if program.outputs else ()
    return shape[1] if len(shape) == 2 and isinstance(shape[1], int) and shape[1] > 1 else None


def real_outputs(program: Program, values: Mapping[str, Array], consts: Mapping[str, Array]) -> list[Array]:
    """Return the outputs of a run in order, codes as the real values that they stand for."""
    found = []
    for name in program.outputs:
        array, tensor = values[name] if name in values else consts[name], program.tensors[name]
        if tensor.quant is not None and not is_float(array.dtype):
            quant = tensor.quant.aligned(array.shape)
            array = dequantize(array, quant.scale, quant.zero_point)
        found.append(array)
    return found
