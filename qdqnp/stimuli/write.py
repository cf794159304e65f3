"""Write stimuli as a golden set: the inputs, what the layer or network makes of them, and the coverage in the
manifest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from qdqnp import golden_sets
from qdqnp.engine import Workplace
from qdqnp.errors import GoldenError
from qdqnp.files.folder import Kind
from qdqnp.golden_sets.replace import contents_of
from qdqnp.numerics.profile import Profile
from qdqnp.reader.proto import Source
from qdqnp.stimuli.document import document
from qdqnp.stimuli.find import for_one_layer
from qdqnp.stimuli.result import StimulusSet

# For a network only its inputs and outputs: `qdqnp golden` writes every layer.
NETWORK_ROLES = ("network_input", "network_output")

STIMULI = Kind(
    "the stimuli", "Ask for fewer inputs (--count), formats, or a smaller --shape.", GoldenError, contents_of
)


def write(
    out: Path,
    found: StimulusSet,
    source: Source,
    profile: Profile,
    *,
    name: str,
    options: golden_sets.Options | None = None,
    force: bool = False,
    **where: Unpack[Workplace],
) -> dict[str, Any]:
    """Write a golden set with one case for each stimulus, and return its manifest.

        out: the set's folder.
        found: the stimuli.
        source: the network's model; a set of a layer holds the layer alone as its model.
        profile: the arithmetic.
        name: the network's name.
        options: how the set is stored; which tensors it holds is decided here.
        force: whether a golden set in the way is replaced.
        where: where the stimuli are computed: keyword arguments of qdqnp.engine.run_shards.

    Raises as golden_sets.write does.

    >>> from pathlib import Path
    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> from qdqnp.numerics.profiles import profile_named
    >>> network, tflite = shipped_model("dla46_c_int8"), profile_named("tflite")
    >>> found = qdqnp.stimuli.for_layer(qdqnp.load(network), "fc", tflite)
    >>> written = qdqnp.stimuli.write(Path("stimuli"), found, network, tflite, name="dla46_c_int8")
    >>> written["inputs"] == len(found.stimuli)
    True
    """
    whole = not found.label
    return golden_sets.write(
        out,
        source if whole else found.model,
        (stimulus.inputs for stimulus in found.stimuli),
        len(found.stimuli),
        profile=profile if whole else for_one_layer(profile, found.label),
        options=replace(options or golden_sets.Options(), roles=NETWORK_ROLES if whole else golden_sets.ROLES),
        name=name if whole else f"{name}, layer '{found.label}'",
        seed=found.seed,
        coverage=document(found),
        force=force,
        **where,
        kind=STIMULI,
    )
