"""What is counted of an evaluation. Counts of parts add up to the counts of the whole, whatever the parts are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qdqnp.evaluation.sample import BadInput, Remark
from qdqnp.evaluation.scores import best, ranks
from qdqnp.quant import Array

#: A right answer is the best class, or among the best TOP.
TOP = 5


@dataclass(frozen=True, order=True)
class Flip:
    """An input whose class is another one in a column than in the first column."""

    #: The input's place in the data set.
    index: int
    #: The input's name.
    name: str
    #: Its class.
    label: int
    #: The class in the first column; None where its scores are not numbers.
    first: int | None
    #: The class in this column.
    here: int | None


@dataclass
class ColumnCounts:
    """What is counted in one column."""

    #: Inputs whose class has the largest score.
    top1: int = 0
    #: Inputs whose class is among the best TOP.
    top5: int = 0
    #: Inputs with the class of the first column.
    same_class: int = 0
    #: Inputs whose scores have the bits of those in the first column.
    same_bits: int = 0
    #: The inputs with another class than in the first column.
    flips: list[Flip] = field(default_factory=list)
    #: How many inputs of a class (first) were taken for one (second).
    confusion: Counter[tuple[int, int | None]] = field(default_factory=Counter)
    #: Seconds that it took to compute.
    seconds: float = 0.0

    def count(
        self, names: Sequence[tuple[int, str]], labels: Sequence[int], scores: Array, first: Array, offset: int
    ) -> None:
        """Count some inputs.

        names: index and name of each.
        labels: the class of each.
        scores: what the column computed, (N, classes).
        first: what the first column computed.
        offset: the class of the scores that is class 0 of the labels.
        """
        found = [None if number is None else number - offset for number in best(scores)]
        theirs = [None if number is None else number - offset for number in best(first)]
        order = ranks(scores, np.asarray(labels, np.int64) + offset)
        self.top1 += int((order == 0).sum())
        self.top5 += int((order < TOP).sum())
        self.same_bits += _equal_rows(scores, first)
        for (index, name), label, here, there in zip(names, labels, found, theirs, strict=True):
            self.confusion[label, here] += 1
            if here == there:
                self.same_class += 1
            else:
                self.flips.append(Flip(index, name, label, there, here))

    def as_json(self) -> dict[str, Any]:
        return {
            "top1": self.top1,
            "top5": self.top5,
            "same_class": self.same_class,
            "same_bits": self.same_bits,
            "flips": [[flip.index, flip.name, flip.label, flip.first, flip.here] for flip in self.flips],
            "confusion": [[label, here, count] for (label, here), count in self.confusion.items()],
            "seconds": self.seconds,
        }

    def add(self, part: dict[str, Any]) -> None:
        """Add the counts of a part, as `as_json` gives them."""
        for name in ("top1", "top5", "same_class", "same_bits", "seconds"):
            setattr(self, name, getattr(self, name) + part[name])
        self.flips += [Flip(*flip) for flip in part["flips"]]
        self.confusion.update({(label, here): count for label, here, count in part["confusion"]})


def _equal_rows(left: Array, right: Array) -> int:
    if left.dtype != right.dtype or left.shape != right.shape:
        return 0
    bits = (np.ascontiguousarray(scores).view(np.uint8).reshape(len(scores), -1) for scores in (left, right))
    return int(np.equal(*bits).all(axis=1).sum())


@dataclass
class Counts:
    """What is counted in all columns, and what was not evaluated."""

    #: The columns' counts.
    columns: list[ColumnCounts]
    #: Inputs that were evaluated.
    inputs: int = 0
    #: Inputs that were not.
    bad: list[BadInput] = field(default_factory=list)
    #: What is said of inputs.
    remarks: list[Remark] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "inputs": self.inputs,
            "bad": [[one.index, one.name, one.kind, one.why] for one in self.bad],
            "remarks": [[one.index, one.name, one.text] for one in self.remarks],
            "columns": [column.as_json() for column in self.columns],
        }

    def add(self, part: dict[str, Any]) -> None:
        """Add the counts of a part, as `as_json` gives them."""
        self.inputs += part["inputs"]
        self.bad += [BadInput(*one) for one in part["bad"]]
        self.remarks += [Remark(*one) for one in part["remarks"]]
        for column, counted in zip(self.columns, part["columns"], strict=True):
            column.add(counted)


def no_counts(columns: int) -> Counts:
    """Return the counts of nothing, in so many columns.

    >>> no_counts(2).inputs
    0
    """
    return Counts([ColumnCounts() for _ in range(columns)])
