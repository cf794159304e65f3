"""What a network leaves to a host: work in float32 in its middle, which a device without a float unit cannot do.

The host quantizes inputs and dequantizes outputs in any case.
"""

from __future__ import annotations

from qdqnp.ops.registry import operator_of
from qdqnp.program import Program, Step


def float_work(program: Program, step: Step) -> str:
    """Describe what a step computes in float32 in the middle of the network; '' where that is nothing."""
    made = program.tensors[step.output_names[0]]
    if made.dtype.kind == "f" and not step.dequantizes and not operator_of(step).copies:
        return f"{step.op} in float32"
    before = [program.makers[name] for name in step.input_names if name in program.makers]
    dequantizers = [other for other in before if other.dequantizes]
    return f"{dequantizers[0].op} followed by {step.op}" if step.quantizes and dequantizers else ""


def why_float(program: Program, step: Step) -> str:
    """Return why the lowering left the nodes of a step in float, as `inspect --lowering` tells it.

    Where that is silent: whether the step reads codes that were dequantized, or float32.
    """
    reasons = {refusal.node: refusal.reason for refusal in program.refusals}
    told = next((reasons[label] for label in step.origin if label in reasons), "")
    if told:
        return told
    before = [program.makers[name] for name in step.input_names if name in program.makers]
    codes = any(other.dequantizes for other in before)
    return "no rule makes an integer operator of it here" if codes else "what it reads is float32 too"
