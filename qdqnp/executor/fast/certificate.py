"""A certificate says how the requantization of a layer's channels is computed, and why that is exact."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Certificate:
    #: 'definition' (ONNX Runtime's float32 expression is the rule), 'float32' or 'float64' (a cheap expression,
    #: compared at every step), 'int64' (the stages themselves).
    """How the requantization of a layer is computed."""

    #: 'definition' (ONNX Runtime's float32 expression is the rule), 'float32' or 'float64' (a cheap expression,
    #: compared at every step), 'int64' (the stages themselves).
    kind: str
    #: Channels computed in this way; the others take int64.
    covered: int
    #: All channels of the layer.
    channels: int

    @property
    def covers(self) -> dict[str, int]:
        """Count the channels by the kind of computation they take."""
        names = {"definition": "the float32 rule itself", "int64": "int64 stages"}
        first = names.get(self.kind, f"{self.kind} certificates")
        rest = self.channels - self.covered
        return {first: self.covered, **({"int64 stages": rest} if rest else {})}

    def __str__(self) -> str:
        if self.kind in ("definition", "int64"):
            return {"definition": "float32, the rule itself", "int64": "int64 stages"}[self.kind]
        rest = self.channels - self.covered
        return f"{self.kind}, certified for {self.covered} of {self.channels} channels" + (
            ", int64 stages for the others" if rest else ""
        )
