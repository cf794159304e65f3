"""Write the manifest's `coverage`: which stimulus is which case of the set, what each met, and what was proven."""

from __future__ import annotations

from typing import Any

from qdqnp.stimuli.goals import Verdict
from qdqnp.stimuli.place import Placed
from qdqnp.stimuli.result import Stimulus, StimulusSet, by_layer

Document = dict[str, Any]


def document(found: StimulusSet) -> Document:
    """Return the document. A case is one input of the set, in its order; the `index` of a target is in the layer's
    output, channels last."""
    return {
        "made_by": "qdqnp stimulate",
        "layer": found.label or None,
        "op": found.op or None,
        "discriminate": list(found.against),
        "ties_and_saturations_of": found.ties_of or None,
        "on_host": list(found.on_host),
        "accumulator_bound": None if found.bound is None else list(found.bound),
        "cases": [_case(number, stimulus, found) for number, stimulus in enumerate(found.stimuli)],
        "total": {label: coverage.as_json() for label, coverage in by_layer(found.stimuli).items()},
        "verdicts": [_verdict(verdict) for verdict in found.verdicts],
    }


def _case(number: int, stimulus: Stimulus, found: StimulusSet) -> Document:
    return {
        "case": number,
        "kind": stimulus.kind,
        "method": stimulus.method,
        "differing": stimulus.differing,
        "targets": [_target(placed, found) for placed in stimulus.placed],
        "coverage": {label: coverage.as_json() for label, coverage in stimulus.coverage.items()},
    }


def _target(placed: Placed, found: StimulusSet) -> Document:
    target = placed.target
    bias = found.bias[target.channel % len(found.bias)] if found.bias else 0
    return {
        "goal": target.goal,
        "channel": target.channel,
        "index": list(placed.index),
        "sum": target.total,
        "accumulator": target.total + bias,
    }


def _verdict(verdict: Verdict) -> Document:
    return {"goal": verdict.goal, "channel": verdict.channel, "verdict": verdict.verdict, "reason": verdict.reason}
