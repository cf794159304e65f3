"""The result of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qdqnp.errors import InputError, Problem
from qdqnp.evaluation.counts import TOP, Flip
from qdqnp.evaluation.sample import BadInput, Remark
from qdqnp.evaluation.wilson import interval


@dataclass(frozen=True)
class ColumnResult:
    """What was found in one column."""

    #: The column's name.
    name: str
    #: The model's file name; '' where it has none.
    model: str
    #: The sha256 of the model's bytes.
    sha256: str
    #: The profile, or the session of ONNX Runtime.
    arithmetic: str
    #: What was done to pictures, by the fields of Preprocessing; None where the model takes none.
    preprocessing: Mapping[str, Any] | None
    #: The name of the output that holds the scores.
    scores: str
    #: How many inputs were evaluated.
    inputs: int
    #: Inputs whose class has the largest score; of equal scores the lowest class counts, as numpy.argmax has it.
    top1: int
    #: Inputs whose class is among the five with the largest scores; None where there are no more than five classes.
    top5: int | None
    #: Inputs with the class of the first column.
    same_class: int
    #: Inputs whose scores have the bits of those in the first column.
    same_bits: int
    #: The inputs with another class than in the first column.
    flips: tuple[Flip, ...]
    #: Triples of a class, the class that was found (None: no number), and how many inputs.
    confusion: tuple[tuple[int, int | None, int], ...]
    #: Seconds that it took to compute, over all workers.
    seconds: float = field(compare=False)

    def share(self, count: int | None) -> float | None:
        """Return the share of the inputs, from 0 to 1; None of none."""
        return None if count is None or not self.inputs else count / self.inputs

    def interval(self, count: int | None) -> tuple[float, float] | None:
        """Return Wilson's interval of the share with a confidence of 95 %."""
        return None if count is None else interval(count, self.inputs)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "model": self.model,
            "sha256": self.sha256,
            "arithmetic": self.arithmetic,
            "preprocessing": None if self.preprocessing is None else dict(self.preprocessing),
            "scores": self.scores,
            "top1": self._counted(self.top1),
            "top5": self._counted(self.top5),
            "same_class": self._counted(self.same_class),
            "same_bits": self._counted(self.same_bits),
            "flips": [vars(flip) for flip in self.flips],
            "confusion": [list(cell) for cell in self.confusion],
        }

    def _counted(self, count: int | None) -> dict[str, Any] | None:
        if count is None:
            return None
        return {"count": count, "share": self.share(count), "interval": list(interval(count, self.inputs))}


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found. It is the same for any number of workers, and however the inputs are split; but for the
    seconds, which do not count for equality and are not in `as_json`."""

    #: The name of the data set.
    data: str
    #: How the classes were told.
    told_by: str
    #: Inputs that were evaluated.
    inputs: int
    #: The number of classes.
    classes: int
    #: The names of the classes; None where there are none.
    class_names: tuple[str, ...] | None
    #: The class of the scores that is class 0 of the labels.
    class_offset: int
    #: How many inputs were computed together where a model takes any number.
    batch: int
    #: The columns.
    columns: tuple[ColumnResult, ...]
    #: What was not evaluated, and why.
    bad: tuple[BadInput, ...]
    #: What is said of inputs that were evaluated, and of files that are none.
    remarks: tuple[Remark, ...]
    #: What is said of the whole.
    notes: tuple[str, ...]
    #: The versions that computed.
    versions: Mapping[str, str]
    #: Seconds that the whole took.
    seconds: float = field(compare=False)

    def class_name(self, number: int | None) -> str:
        """Return how a class is shown: its name, else its number; '-1 (background)' for what an offset leaves out."""
        if number is None:
            return "not a number"
        if self.class_names is not None and 0 <= number < len(self.class_names):
            return self.class_names[number]
        return str(number) if number >= 0 else f"{number} (background)"

    def about_bad(self) -> dict[str, list[BadInput]]:
        """Return what was not evaluated by the kind of fault, the most frequent first."""
        return _by(self.bad, lambda one: one.kind)

    def about_remarks(self) -> dict[str, list[Remark]]:
        """Return the remarks by what they say, the most frequent first."""
        return _by(self.remarks, lambda one: one.text)

    def as_json(self) -> dict[str, Any]:
        """Return everything but the seconds."""
        return {
            "data": self.data,
            "told_by": self.told_by,
            "inputs": self.inputs,
            "classes": self.classes,
            "class_names": None if self.class_names is None else list(self.class_names),
            "class_offset": self.class_offset,
            "batch": self.batch,
            "versions": dict(self.versions),
            "columns": [column.as_json() for column in self.columns],
            "bad": [vars(one) for one in self.bad],
            "remarks": {text: [one.name for one in ones] for text, ones in self.about_remarks().items()},
            "notes": list(self.notes),
        }

    def speed(self) -> dict[str, Any]:
        """Return how long it took, which is not the same twice: seconds, and inputs a second in each column."""
        each = {
            column.name: {
                "seconds": column.seconds,
                "inputs_per_second": self.inputs / column.seconds if column.seconds else None,
            }
            for column in self.columns
        }
        return {"seconds": self.seconds, "columns": each}


def _by(items: Sequence[Any], key: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return dict(sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0])))


# What helps where inputs were left out.
ADVICE = (
    "mend or remove what is listed",
    "--skip-bad (skip_bad=True) accepts a result without these inputs",
)


class BadInputsError(InputError):
    """Some inputs could not be evaluated. `evaluation` is the result of the others.

    evaluation: the result.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        problems = [
            Problem(f"'{one.name}'", "an input that can be evaluated", f"{one.kind}: {one.why}")
            for one in evaluation.bad[:100]
        ]
        counted = ", ".join(f"{len(ones)} x {kind}" for kind, ones in evaluation.about_bad().items())
        super().__init__(f"{len(evaluation.bad)} inputs were not evaluated: {counted}", problems, ADVICE)


def top5_of(count: int, classes: int) -> int | None:
    """Return a count of right answers among the best five; None where every answer is one.

    >>> top5_of(10, 5), top5_of(10, 6)
    (None, 10)
    """
    return count if classes > TOP else None
