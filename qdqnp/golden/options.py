"""What a golden set shall hold and how it is written."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from qdqnp.errors import GoldenError, Problems
from qdqnp.golden.layouts import ACTIVATIONS, DEPTHWISE, WEIGHTS

ROLES = (
    "network_input",
    "network_output",
    "input",
    "output",
    "weight",
    "bias",
    "parameter",
    "sum",
    "accumulator",
    "stage",
)
FORMATS = ("npz", "npy", "bin", "c", "hex", "ihex", "c-crc")
# What a device has in its buffers: all that a table of checksums is for.
CRC_ROLES = ("network_input", "output", "network_output")
LANES = ("little", "big")
LIMIT_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Options:
    """layers: names of layers or of the tensors they make, globs, or operators; () for all. roles: which tensors.

    activations, weights, depthwise: stored order of axes; depthwise '' as the other weights. cmsis_nn: also the
    numbers that CMSIS-NN's kernels take (input_offset = -zero point, output_shift to the left). hex_width: bits of a
    word; hex_lanes: whether the first element of a word is its lowest ('little') or highest lane. alignment: of C
    arrays in bytes, 0 for the compiler's; section: of C arrays. limit_bytes: of all files together.
    """

    formats: tuple[str, ...] = ("npz",)
    layers: tuple[str, ...] = ()
    roles: tuple[str, ...] = ROLES
    activations: str = "NCHW"
    weights: str = "OIHW"
    depthwise: str = ""
    cmsis_nn: bool = False
    hex_width: int = 32
    hex_lanes: str = "little"
    alignment: int = 0
    section: str = ""
    limit_bytes: int = LIMIT_BYTES
    store_model: bool = True

    @property
    def wanted(self) -> tuple[str, ...]:
        """The roles that any of the formats holds."""
        return tuple(role for role in self.roles if role in CRC_ROLES or set(self.formats) != {"c-crc"})

    def check(self) -> None:
        """Raises GoldenError that lists every option without meaning."""
        problems = Problems()
        for name, values, allowed in (
            ("formats", self.formats, FORMATS),
            ("roles", self.roles, ROLES),
            ("activations", (self.activations,), ACTIVATIONS),
            ("weights", (self.weights,), WEIGHTS),
            ("depthwise", (self.depthwise or "OIHW",), DEPTHWISE),
            ("hex_lanes", (self.hex_lanes,), LANES),
        ):
            for value in values:
                if value not in allowed:
                    problems.add(f"option {name}", f"one of {', '.join(allowed)}", repr(value))
        if not self.formats:
            problems.add("option formats", "at least one", "none")
        if self.hex_width < 8 or self.hex_width > 4096 or self.hex_width % 8:
            problems.add("option hex_width", "a multiple of 8 from 8 to 4096 bits", self.hex_width)
        if self.alignment and (self.alignment & (self.alignment - 1) or not 0 < self.alignment <= 4096):
            problems.add("option alignment", "a power of two up to 4096, or 0", self.alignment)
        if not re.fullmatch(r"[A-Za-z0-9_.$,]{0,64}", self.section):
            problems.add("option section", "letters, digits, '_', '.', '$' and ','", repr(self.section))
        if self.limit_bytes < 1:
            problems.add("option limit_bytes", "at least 1", self.limit_bytes)
        problems.raise_if_any("the golden set cannot be written so", GoldenError)

    def as_json(self) -> dict[str, Any]:
        """What of it decides the bytes of the files."""
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        del values["limit_bytes"]
        return values
