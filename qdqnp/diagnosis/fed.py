"""Steps fed with ONNX Runtime's own tensors: what a step without a promise may make of them.

Where ONNX Runtime has no such tensor, the step that makes it is computed here from ONNX Runtime's tensors before it. If
that step is without a promise, what it makes is not ONNX Runtime's: it is loose, and known up to its slack, if at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from qdqnp.diagnosis.tally import unequal
from qdqnp.executor.plan import BoundStep
from qdqnp.quant import Array


@dataclass(frozen=True)
class Excuse:
    """Why the differences of a tensor are accepted."""

    #: How many elements nothing bounds.
    unbounded: int
    #: The largest difference that is within the bound, as a share of it.
    bound: float


@dataclass(frozen=True, eq=False)
class Fed:
    """ONNX Runtime's tensors of one input, step by step; those that it does not have are computed."""

    #: By our names.
    values: dict[str, Array]
    #: How far loose tensors may be off, where that is known.
    slack: dict[str, Array] = field(default_factory=dict)
    #: The tensors that are computed here, by or behind a step without a promise.
    loose: set[str] = field(default_factory=set)

    def excuse(self, bound: BoundStep, name: str, wanted: Array) -> Excuse | None:
        """Return why an output without a promise is accepted; None where it is not.

        Fed with ONNX Runtime's tensors, the step makes the same bits; or numbers within the bound of its sums, or of
        what its inputs may be; or nothing bounds what it makes.
        """
        made = bound.compute(self.values)[name]
        if made.shape != wanted.shape or made.dtype != wanted.dtype:
            return None
        bad, share = unequal(made, wanted), 0.0
        allowed = allowed_of(bound, self.values) if bad.any() else None
        free = np.full(bad.shape, allowed is None and doubtful(bound))
        if allowed is not None:
            with np.errstate(invalid="ignore"):  # sums that overflow have no bound
                distance = np.abs(made.astype(np.float64) - wanted.astype(np.float64))
            free |= ~np.isfinite(allowed)
            bad &= ~(distance <= allowed)
            if not bad.any():
                share = float((distance / np.where(allowed > 0, allowed, 1)).max())
        loose = self.loose.intersection(bound.step.input_names)
        if bad.any() and loose:
            if loose <= self.slack.keys():  # as of a factor that FusedMatMul takes in
                low, high = self._ends(bound, name)
                bad &= ~((low <= wanted) & (wanted <= high))
                free |= (not _spans(bound)) | ~((low <= made) & (made <= high))
            else:
                free |= True
        return None if (bad & ~free).any() else Excuse(int(bad.sum()), share)

    def advance(self, bound: BoundStep, chosen: Mapping[str, Array]) -> None:
        """Take up ONNX Runtime's outputs of a step; those that it does not have are computed.

        chosen: the outputs that it has, by name.
        """
        missing = [name for name in bound.step.output_names if name not in chosen]
        made = bound.compute(self.values) if missing else {}
        loose = self.loose.intersection(bound.step.input_names)
        if missing and (loose or doubtful(bound)):
            for name in missing:
                slack = self._slack(bound, name, made[name], bool(loose))
                if slack is not None:
                    self.slack[name] = slack
            self.loose.update(missing)
        self.values.update({**made, **chosen})

    def _slack(self, bound: BoundStep, name: str, made: Array, loose: bool) -> Array | None:
        """Return how far an output may be off that ONNX Runtime does not have; None where that is not known."""
        own = allowed_of(bound, self.values) if doubtful(bound) else np.zeros(made.shape)
        if own is None or not loose:
            return own
        if not _spans(bound) or not self.loose.intersection(bound.step.input_names) <= self.slack.keys():
            return None
        low, high = self._ends(bound, name)
        if not ((low <= made) & (made <= high)).all():
            return None
        return np.asarray(np.maximum(high.astype(np.float64) - made, made.astype(np.float64) - low) + own)

    def _ends(self, bound: BoundStep, name: str) -> tuple[Array, Array]:
        """Return what the step makes of the lowest and of the highest that its inputs may be, the lower first.

        On the way from one to the other a continuous step takes every value between: some inputs that are allowed give
        it.
        """
        ends = []
        for sign in (-1, 1):
            moved = {
                read: self.values[read] + sign * self.slack[read]
                for read in bound.step.input_names
                if read in self.slack
            }
            moved = {read: np.asarray(array, self.values[read].dtype) for read, array in moved.items()}
            ends.append(bound.compute({**self.values, **moved})[name])
        return np.minimum(*ends), np.maximum(*ends)


def doubtful(bound: BoundStep) -> bool:
    """Tell whether a step is without a promise whatever its inputs are."""
    return bool(bound.operator.doubt(bound.binding) or bound.step.doubt)


def allowed_of(bound: BoundStep, values: Mapping[str, Array]) -> Array | None:
    """Return the bound on a step's own differences; None where it has none."""
    return bound.operator.error(bound.binding, *bound.arrays(values)) if doubtful(bound) else None


def _spans(bound: BoundStep) -> bool:
    """Tell whether each element that a step makes depends on one of each input, as of Mul, or is one, as of Reshape."""
    return bound.operator.elementwise or bound.operator.only_moves(bound.step)
