"""The options of a golden set: what it holds and how it is written."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from qdqnp.errors import GoldenError, Problems, did_you_mean
from qdqnp.golden_sets.formats import WRITERS, formats
from qdqnp.golden_sets.layouts import ACTIVATIONS, DEPTHWISE, WEIGHTS

#: What a tensor of a set can be.
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
LANES = ("little", "big")
HARNESSES = ("cmsis-nn",)
# What a harness is made of, and how it has everything in memory.
HARNESS_ROLES = ("network_input", "output", "network_output")
HARNESS_ORDERS = {"activations": "NHWC", "weights": "OHWI", "depthwise": "1HWC"}
SKELETONS = ("main", "ctest", "unity", "ztest", "gtest")
#: The most bytes of a set, unless more are allowed.
LIMIT_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Options:
    """What a golden set holds and how it is written."""

    #: Names of the formats, see qdqnp.golden_sets.FORMATS.
    formats: tuple[str, ...] = ("npz",)
    #: Layers as qdqnp.find names them; () for all.
    layers: tuple[str, ...] = ()
    #: Which tensors to store, of ROLES.
    roles: tuple[str, ...] = ROLES
    #: Stored order of the axes of activations.
    activations: str = "NCHW"
    #: Stored order of the axes of weights.
    weights: str = "OIHW"
    #: Stored order of the axes of depthwise weights; '' for that of the other weights.
    depthwise: str = ""
    #: Whether to add the numbers that CMSIS-NN's kernels take (input_offset = -zero point, output_shift to the left).
    cmsis_nn: bool = False
    #: Bits of a word in hex files.
    hex_width: int = 32
    #: Whether the first element of a word is its lowest ('little') or highest lane ('big').
    hex_lanes: str = "little"
    #: Alignment of C arrays in bytes; 0 for the compiler's.
    alignment: int = 0
    #: Section attribute of C arrays; '' for none.
    section: str = ""
    #: What names in C start with.
    prefix: str = "golden"
    #: Frameworks for which format 'c' has a test program, of SKELETONS.
    skeletons: tuple[str, ...] = ()
    #: The library for which a project that runs the whole network is written too, of HARNESSES; '' for none.
    harness: str = ""
    #: The most bytes of arrays in C, of which as many layers are chosen as fit, the smallest first; 0 for no limit.
    limit_flash: int = 0
    #: The most bytes that all files together may have.
    limit_bytes: int = LIMIT_BYTES
    #: Whether the model itself is part of the set.
    store_model: bool = True

    @property
    def wanted(self) -> tuple[str, ...]:
        """Return the roles that any of the formats holds."""
        held = [WRITERS[name].roles for name in self.formats]
        return tuple(role for role in self.roles if any(roles is None or role in roles for roles in held))

    def check(self) -> None:
        """Raise GoldenError that lists every option without meaning."""
        problems = Problems()
        for name, values, allowed in (
            ("formats", self.formats, formats()),
            ("roles", self.roles, ROLES),
            ("activations", (self.activations,), ACTIVATIONS),
            ("weights", (self.weights,), WEIGHTS),
            ("depthwise", (self.depthwise or "OIHW",), DEPTHWISE),
            ("hex_lanes", (self.hex_lanes,), LANES),
            ("skeletons", self.skeletons, SKELETONS),
            ("harness", (self.harness or HARNESSES[0],), HARNESSES),
        ):
            for value in values:
                if value not in allowed:
                    hint = did_you_mean(str(value), allowed)
                    problems.add(f"option {name}", f"one of {', '.join(allowed)}", repr(value), hint)
        if not self.formats:
            problems.add("option formats", "at least one", "none")
        if self.hex_width < 8 or self.hex_width > 4096 or self.hex_width % 8:
            problems.add("option hex_width", "a multiple of 8 from 8 to 4096 bits", self.hex_width)
        if self.alignment and (self.alignment & (self.alignment - 1) or not 0 < self.alignment <= 4096):
            problems.add("option alignment", "a power of two up to 4096, or 0", self.alignment)
        if not re.fullmatch(r"[A-Za-z0-9_.$,]{0,64}", self.section):
            problems.add("option section", "letters, digits, '_', '.', '$' and ','", repr(self.section))
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", self.prefix):
            problems.add("option prefix", "a letter, then up to 39 letters, digits and '_'", repr(self.prefix))
        if self.skeletons and "c" not in self.formats:
            problems.add("option skeletons", "format c beside them", ", ".join(self.formats))
        if self.harness:
            self._check_harness(problems)
        if self.limit_flash < 0:
            problems.add("option limit_flash", "at least 0", self.limit_flash)
        if self.limit_flash and self.harness:
            problems.add("option limit_flash", "all layers, for a harness", self.limit_flash)
        if self.limit_bytes < 1:
            problems.add("option limit_bytes", "at least 1", self.limit_bytes)
        problems.raise_if_any("the golden set cannot be written so", GoldenError)

    def _check_harness(self, problems: Problems) -> None:
        """Note what a harness does not go with: it needs every layer's output, as it has it in memory."""
        if self.layers:
            problems.add("option layers", "all layers, for a harness", ", ".join(self.layers))
        if missing := [role for role in HARNESS_ROLES if role not in self.roles]:
            problems.add("option roles", f"{', '.join(HARNESS_ROLES)}, for a harness", f"no {', '.join(missing)}")
        if self.activations != HARNESS_ORDERS["activations"]:
            problems.add("option activations", f"{HARNESS_ORDERS['activations']}, for a harness", self.activations)

    def as_json(self) -> dict[str, Any]:
        """Return the options that affect file contents, for the manifest."""
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        del values["limit_bytes"]
        return values
