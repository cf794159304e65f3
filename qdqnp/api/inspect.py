"""inspect: what does a model become under a profile, layer by layer?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qdqnp.api.arguments import AnyModel, AnyProfile, Operators, Texts, name_of, opened, profile_with
from qdqnp.api.result import Result
from qdqnp.errors import InputError, Problem, did_you_mean
from qdqnp.inspection.layers import inspect as inspected
from qdqnp.inspection.scheduled import scheduled
from qdqnp.inspection.what_became import counts, fates
from qdqnp.limits import readable_bytes
from qdqnp.lowering import LOWERINGS


@dataclass(frozen=True, repr=False, eq=False)
class InspectResult(Result):
    """The layers of a model; or what a lowering made of its nodes; or how a run computes each layer."""

    #: Name of the model's file.
    model: str
    #: What was found.
    found: Mapping[str, Any]

    @property
    def columns(self) -> tuple[str, ...]:
        if "nodes" in self.found:
            return ("node", "op", "became")
        if "actions" in self.found:
            return ("step", "form", "proof")
        return (
            "label",
            "op",
            "output",
            "output_shape",
            "dtype",
            "scale",
            "zero_point",
            "macs",
            "weight_bytes",
            "k",
            "proof",
            "requantization",
            "status",
            "promise",
        )

    def summary(self) -> str:
        if "nodes" in self.found:
            what = ", ".join(f"{count} {op}" for op, count in self.found["operators"].items())
            return f"lowering {self.found['lowering']}: {sum(self.found['operators'].values())} steps ({what})"
        if "actions" in self.found:
            size = self.found["bytes"]
            return f"{readable_bytes(size)} for images and work" if size else "no schedule: all on codes"
        totals = self.found["totals"]
        operators = ", ".join(f"{count} {op}" for op, count in totals["operators"].items())
        return (
            f"profile {self.found['profile']}, lowering {self.found['lowering']}: {totals['layers']} layers "
            f"({operators}), {totals['macs']:,} MACs, {totals['weight_bytes']:,} bytes of constants"
        )

    def document(self) -> dict[str, Any]:
        return {"model": self.model, **self.found}

    def items(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = next(
            self.found[key] for key in ("nodes", "actions", "layers") if key in self.found
        )
        return found


def inspect(
    model: AnyModel,
    *,
    outputs: Texts = (),
    operators: Operators = (),
    profile: AnyProfile = "ort",
    host_float: bool = False,
    lowering: str | None = None,
    plan: bool = False,
) -> InspectResult:
    """Describe what a model becomes, as `qdqnp inspect` does: layers, shapes, scales, MACs, and why sums are exact.

        model: a path, bytes, an onnx.ModelProto, or what qdqnp.load returned.
        outputs: tensors to cut the model at.
        operators: classes of operators that qdqnp does not have, as qdqnp.load takes them.
        profile: the arithmetic.
        host_float: whether what the profile does not define runs in float32.
        lowering: a lowering; then, what it makes of each node, or why it leaves it.
        plan: whether to say instead how a run of one picture computes each layer.

    Raises InputError for a lowering that there is not, ProfileError that lists the layers that the profile does not
    define, ModelError.

    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> found = qdqnp.inspect(shipped_model("dla46_c_int8"))
    >>> found.rows()[1]["label"], found.rows()[1]["macs"]
    ('base_layer.0', 2408448)
    """
    loaded, name = opened(model, outputs, operators), name_of(model)
    if lowering is not None:
        if lowering not in LOWERINGS:
            hint = did_you_mean(lowering, LOWERINGS)
            raise InputError(
                "no such lowering", [Problem("lowering", f"one of {', '.join(LOWERINGS)}", lowering, hint)]
            )
        program = loaded.program(lowering=lowering)
        nodes = [asdict(fate) for fate in fates(loaded.graph, program)]
        return InspectResult(name, {"lowering": lowering, "nodes": nodes, "operators": counts(program)})
    bound = loaded.plan(profile_with(profile, host_float))
    return InspectResult(name, scheduled(bound) if plan else inspected(bound))
