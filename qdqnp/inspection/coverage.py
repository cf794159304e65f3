"""Find what a profile covers: which operators it has an arithmetic for, and how well each rule is known."""

from __future__ import annotations

from typing import Any

from qdqnp.numerics.profile import Profile, rule_names
from qdqnp.numerics.profile_writer import to_document
from qdqnp.numerics.profiles import ALIASES
from qdqnp.numerics.rules.undefined import Undefined
from qdqnp.numerics.status import INFERRED
from qdqnp.ops.operator import Operator
from qdqnp.ops.registry import operators

REQUANTIZATION = ("convert", "accumulate", "conv", "matmul", "gemm")
EVERY, ONLY = "complete", "requantization only"


def covered(field: str) -> str:
    """Name the operators whose arithmetic a field of a profile is, by ONNX's names of what they compute."""
    found = [operator for operator in operators().values() if field in (operator.rule, *operator.reads)]
    return ", ".join(dict.fromkeys(_onnx_name(operator) for operator in found))


def _onnx_name(operator: Operator) -> str:
    """Return ONNX's name of what an operator computes: QLinearConv computes Conv, QGemm computes Gemm."""
    return operator.op.removeprefix("QLinear").removeprefix("Q") if operator.rule else operator.op


def undefined(profile: Profile) -> list[str]:
    """List the fields for which the profile does not have an arithmetic."""
    return [field for field in rule_names() if isinstance(getattr(profile, field), Undefined)]


def inferred(profile: Profile) -> list[str]:
    """List the fields whose rule is inferred."""
    return [field for field in rule_names() if getattr(profile, field).status == INFERRED]


def coverage(profile: Profile) -> str:
    """Return 'complete', 'requantization only', or the operators that are missing."""
    missing = undefined(profile)
    if not missing:
        return EVERY
    if missing == [field for field in rule_names() if field not in (*REQUANTIZATION, "float_sum")]:
        return ONLY
    return "all but " + ", ".join(covered(field) for field in missing)


def summary(profile: Profile) -> dict[str, Any]:
    """Return name, aliases, status, source and coverage of a profile, as JSON."""
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
    """Describe the rule of a field of the profile: its operators, kind, settings and status."""
    document = to_document(profile)[field]
    return {"operators": covered(field), **document, "status": getattr(profile, field).status}
