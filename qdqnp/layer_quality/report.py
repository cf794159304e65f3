"""The report of `quality`: a row for each measured tensor, the worst first, and what it says in one sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from qdqnp.layer_quality.findings import QualityFinding, RangeUse
from qdqnp.layer_quality.measure import LayerSums
from qdqnp.layer_quality.outputs import OutputSums
from qdqnp.layer_quality.weights import WeightError


@dataclass(frozen=True, eq=False)
class QualityRow:
    """One tensor of the int8 network, and the layer that makes it."""

    #: The tensor of the int8 network.
    tensor: str
    #: The tensor of the float network that it stands for.
    real: str
    #: What told that: 'mapping', 'name', 'layer name' or 'structure'.
    told_by: str
    #: The layer's label, and its operator.
    label: str
    op: str
    #: The dtype of the tensor.
    dtype: str
    #: The layer's place among the measured ones, in the order of the network, from 0.
    depth: int
    #: What was counted.
    sums: LayerSums
    #: How its range fits; None where that cannot be said.
    use: RangeUse | None
    #: The error of its weights; None where it has none that can be compared.
    weights: WeightError | None
    #: What is wrong with its quantization, the costliest first.
    findings: tuple[QualityFinding, ...] = ()
    #: The network's outputs with this layer in float; None where that was not asked for, or cannot be.
    gain: OutputSums | None = None

    @property
    def saturated(self) -> float | None:
        """The share of saturated codes; None where nobody can say."""
        if self.sums.saturated is None:
            return None
        return self.sums.saturated / self.sums.codes if self.sums.codes else 0.0

    @property
    def badness(self) -> tuple[float, bool, float]:
        """What rows are sorted by, the largest first: the cost of findings, whether there are any, the own noise."""
        return (max((f.cost for f in self.findings), default=0.0), bool(self.findings), self.sums.own.share)

    @property
    def why(self) -> str:
        """What is wrong with the layer's quantization, in one line; '' where nothing is."""
        return "; ".join(finding.text for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        sums = self.sums
        return {
            "tensor": self.tensor,
            "float_tensor": self.real,
            "told_by": self.told_by,
            "layer": self.label,
            "op": self.op,
            "dtype": self.dtype,
            "depth": self.depth,
            "entire": sums.entire.as_json(),
            "single": sums.single.as_json(),
            "own": sums.own.as_json(),
            "codes": sums.codes,
            "saturated": sums.saturated,
            "lowest_code": sums.lowest,
            "highest_code": sums.highest,
            "least": sums.least if math.isfinite(sums.least) else None,
            "most": sums.most if math.isfinite(sums.most) else None,
            "range_used": None if self.use is None else self.use.used,
            "range_held": None if self.use is None else self.use.held,
            "scale_ratio": None if self.use is None else self.use.scale,
            "weights": None if self.weights is None else self.weights.as_json(),
            "findings": [{"kind": f.kind, "cost": f.cost, "text": f.text} for f in self.findings],
            "if_float": None if self.gain is None else self.gain.as_json(),
        }


@dataclass(frozen=True, eq=False)
class GreedyStep:
    """One round of making layers float, each time the one that helps most."""

    #: The tensor of the layer that was made float in this round.
    tensor: str
    #: The network's outputs with this and all earlier ones in float.
    outputs: OutputSums

    def as_json(self) -> dict[str, Any]:
        return {"tensor": self.tensor, **self.outputs.as_json()}


@dataclass(frozen=True, eq=False)
class QualityReport:
    """What quantization costs, layer by layer."""

    #: The profile of the int8 network.
    profile: str
    #: How many inputs were measured.
    inputs: int
    #: The rows, the worst first: by what a finding costs, then by the layer's own noise.
    rows: tuple[QualityRow, ...]
    #: The int8 network's outputs.
    outputs: OutputSums
    #: Rows of the float network whose largest output is at their label; None where there are no labels.
    float_correct: int | None
    #: By tensor of the int8 network that was not measured, why.
    unmatched: dict[str, str] = field(default_factory=dict)
    #: Layers with weights of the float network that no tensor stands for.
    unmatched_float: tuple[str, ...] = ()
    #: The outputs of the same network unfused, with no layer in float: what gains are measured against.
    unfused: OutputSums | None = None
    #: Layers made float one after the other.
    greedy: tuple[GreedyStep, ...] = ()
    #: Why layers could not be made float; '' where they could, or nobody asked.
    no_what_if: str = ""
    #: What making each layer float took for each input, as multiples of one run of the network.
    what_if_runs: float = 0.0

    @property
    def bad(self) -> tuple[QualityRow, ...]:
        """The rows with findings."""
        return tuple(row for row in self.rows if row.findings)

    @property
    def by_gain(self) -> tuple[QualityRow, ...]:
        """The rows that were made float, the one that regains most first."""
        found = [row for row in self.rows if row.gain is not None]
        return tuple(sorted(found, key=lambda row: -self.gain(row)))

    def gain(self, row: QualityRow) -> float:
        """Return what the outputs regain with a layer in float, in dB; 0 where that is not known."""
        if row.gain is None or self.unfused is None:
            return 0.0
        return row.gain.error.sqnr - self.unfused.error.sqnr

    def verdict(self) -> str:
        """Return the sentence that names the layer that loses most."""
        if not self.rows:
            return "Nothing was measured: no tensor of the int8 network stands for one of the float network."
        total = f"the outputs keep {self.outputs.error.sqnr:.1f} dB"
        row = self.rows[0]
        alone = f"alone it keeps {row.sums.own.sqnr:.1f} dB"
        if row.findings:
            more = f" {len(self.bad) - 1} more are not well quantized either." if len(self.bad) > 1 else ""
            return f"'{row.label}' loses most: {row.why}; {alone}, {total}.{more}"
        if self.by_gain:
            row = self.by_gain[0]
            alone = f"in float it would give the outputs {self.gain(row):+.1f} dB"
        return f"'{row.label}' loses most: {alone}; {total}. No layer is quantized badly."

    def as_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict(),
            "profile": self.profile,
            "inputs": self.inputs,
            "outputs": self.outputs.as_json(),
            "float_correct": self.float_correct,
            "layers": [row.as_json() for row in self.rows],
            "unmatched": self.unmatched,
            "unmatched_float": list(self.unmatched_float),
            "unfused": None if self.unfused is None else self.unfused.as_json(),
            "greedy": [step.as_json() for step in self.greedy],
            "no_what_if": self.no_what_if,
            "what_if_runs": self.what_if_runs,
        }
