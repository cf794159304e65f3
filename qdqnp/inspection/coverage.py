"""What a profile covers: which operators it has an arithmetic for, and how well each rule is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profile_toml import rule_names, to_document
from qdqnp.numerics.profiles import ALIASES
from qdqnp.numerics.rules.requantize import INFERRED, Undefined

# Which operators a field of a profile is the arithmetic of.
OPERATORS: Mapping[str, str] = {
    "convert": "QuantizeLinear, DequantizeLinear",
    "accumulate": "Conv, Gemm, MatMul: their sums",
    "conv": "Conv",
    "matmul": "MatMul",
    "gemm": "Gemm",
    "add": "Add",
    "mul": "Mul",
    "concat": "Concat",
    "lookup": "LeakyRelu, Sigmoid",
    "average_pool": "AveragePool",
    "global_average_pool": "GlobalAveragePool",
    "softmax": "Softmax",
    "float_sum": "Conv, Gemm, MatMul, averages left in float32",
}
REQUANTIZATION = ("convert", "accumulate", "conv", "matmul", "gemm")
EVERY, ONLY = "complete", "requantization only"


def undefined(profile: Profile) -> list[str]:
    """The fields for which the profile has no arithmetic."""
    return [field for field in rule_names() if isinstance(getattr(profile, field), Undefined)]


def inferred(profile: Profile) -> list[str]:
    """The fields whose rule is inferred."""
    return [field for field in rule_names() if getattr(profile, field).status == INFERRED]


def coverage(profile: Profile) -> str:
    """'complete', 'requantization only', or the operators that are missing."""
    missing = undefined(profile)
    if not missing:
        return EVERY
    if missing == [field for field in rule_names() if field not in (*REQUANTIZATION, "float_sum")]:
        return ONLY
    return "all but " + ", ".join(OPERATORS[field] for field in missing)


def summary(profile: Profile) -> dict[str, Any]:
    """Name, aliases, status, source and coverage of a profile, as JSON."""
    return {
        "name": profile.name,
        "aliases": [alias for alias, target in ALIASES.items() if target == profile.name],
        "status": profile.status,
        "summary": profile.summary,
        "source": profile.source,
        "coverage": coverage(profile),
        "undefined": undefined(profile),
        "inferred": inferred(profile),
    }


def rule_document(profile: Profile, field: str) -> dict[str, Any]:
    """The rule of a field of the profile: its operators, kind, settings and status."""
    document = to_document(profile)[field]
    return {"operators": OPERATORS[field], **document, "status": getattr(profile, field).status}
