"""An estimate of the time that a device takes for a network: the roofline of each layer, added up.

A layer cannot be faster than its multiply-accumulates at the accelerator's full rate, nor than the bytes that it reads
and writes at the full rate of each memory: the largest of these is the layer's time, as if everything overlapped. Their
sum is what it takes if nothing does. (Williams, Waterman and Patterson, "Roofline", CACM 52, 2009.)

What it leaves out is listed in ASSUMPTIONS. A real device is slower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qdqnp.element_types import bytes_in_file, is_float
from qdqnp.executor.plan import BoundStep, Plan
from qdqnp.inspection.lifetimes import Lifetime, Lifetimes
from qdqnp.model_card.device import ACTIVATIONS_HELD, WEIGHTS_HELD, DeviceFigures, DeviceMemory
from qdqnp.model_card.placement import place, spread

ASSUMPTIONS = (
    "all units of the accelerator multiply in every cycle",
    "each layer reads its inputs and constants once, and writes its outputs once: nothing is split into parts, kept in "
    "a cache, or passed from one layer to the next without memory",
    "memories give their full rate, whatever else uses them; layers run one after the other, and starting one takes "
    "no time",
    "layers without multiply-accumulates take the time of their memory traffic",
    "tensors lie in the first memory that has room for them, those first that most layers use; nothing is computed in "
    "place",
)
COMPUTE = "multiply-accumulates"


@dataclass(frozen=True)
class LayerTime:
    """The roofline of one layer."""

    #: The layer's label.
    label: str
    #: Seconds for its multiply-accumulates, and for the bytes from and to each memory.
    parts: Mapping[str, float]

    @property
    def limit(self) -> str:
        """What takes longest; '' where nothing takes time."""
        name = max(self.parts, key=lambda part: self.parts[part], default="")
        return name if name and self.parts[name] else ""

    @property
    def seconds(self) -> float:
        """The time if all parts overlap."""
        return max(self.parts.values(), default=0.0)


@dataclass(frozen=True)
class TimeEstimate:
    """The roofline of a network on a device. It is no measurement, and no bound from above."""

    #: The device.
    device: DeviceFigures
    #: The layers whose time is estimated.
    layers: tuple[LayerTime, ...]
    #: Labels of the layers that compute floats, which are a processor's, and not estimated.
    left_out: tuple[str, ...]
    #: Bytes of each memory that are used: up to the end of the tensor that lies highest, and all constants.
    used: Mapping[str, int]
    #: Names of the tensors that fit in no memory; '<constants>' where these do not.
    without_room: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """The time if, within each layer, everything overlaps."""
        return sum(layer.seconds for layer in self.layers)

    @property
    def seconds_apart(self) -> float:
        """The time if nothing overlaps."""
        return sum(sum(layer.parts.values()) for layer in self.layers)

    @property
    def seconds_computing(self) -> float:
        """The time of the multiply-accumulates alone."""
        return sum(layer.parts[COMPUTE] for layer in self.layers)


def time_estimate(plan: Plan, found: Lifetimes, device: DeviceFigures) -> TimeEstimate:
    """Estimate the time of a run on a device.

        plan: the program under a profile.
        found: its tensors and when they are alive.
        device: the device.

    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> from qdqnp.inspection.lifetimes import lifetimes
    >>> from qdqnp.model_card.device import device_from
    >>> plan = qdqnp.load(shipped_model("dla46_c_int8")).plan()
    >>> made = time_estimate(plan, lifetimes(plan, codes_at_ends=True), device_from("stm32n6"))
    >>> f"{1e3 * made.seconds:.3f} ms, {1e3 * made.seconds_computing:.3f} ms of it computing"
    '6.344 ms, 0.039 ms of it computing'
    """
    memories = device.holding(ACTIVATIONS_HELD)
    places, used = _placed(found, memories, device.alignment)
    rates = {memory.name: memory.bytes_per_second for memory in device.memories}
    constants = _ConstantPlaces(plan, found, device)
    layers, left_out = [], []
    for bound in found.steps:
        if _is_float(bound):
            left_out.append(bound.step.label)
            continue
        moved = dict.fromkeys((memory.name for memory in device.memories), 0)
        for name in dict.fromkeys((*bound.step.input_names, *bound.step.output_names)):
            memory = constants.places.get(name) or places.get(name)
            if memory is not None:
                moved[memory] += constants.nbytes.get(name) or constants.tensors[name].nbytes
        parts = {COMPUTE: plan.macs(bound, found.shapes) / (device.clock * device.macs_per_cycle)}
        parts |= {name: count / rates[name] for name, count in moved.items()}
        layers.append(LayerTime(bound.step.label, parts))
    missing = [tensor.name for tensor in found.tensors if tensor.name not in places]
    return TimeEstimate(
        device,
        tuple(layers),
        tuple(left_out),
        used | constants.used,
        tuple(missing) + (() if constants.fit else ("<constants>",)),
    )


class _ConstantPlaces:
    """In which memory each constant lies: the first that has room for it."""

    def __init__(self, plan: Plan, found: Lifetimes, device: DeviceFigures) -> None:
        self.tensors = {tensor.name: tensor for tensor in found.tensors}
        read = dict.fromkeys(name for bound in found.steps for name in bound.step.input_names if name in plan.consts)
        self.nbytes = {name: bytes_in_file(plan.consts[name].dtype, plan.consts[name].size) for name in read}
        self.places: dict[str, str] = {}
        self.used = {memory.name: 0 for memory in device.holding(WEIGHTS_HELD)}
        for name, count in self.nbytes.items():
            for memory in device.holding(WEIGHTS_HELD):
                if self.used[memory.name] + count <= memory.nbytes:
                    self.used[memory.name] += count
                    self.places[name] = memory.name
                    break
        self.fit = len(self.places) == len(self.nbytes)


def _placed(
    found: Lifetimes, memories: Sequence[DeviceMemory], alignment: int
) -> tuple[dict[str, str], dict[str, int]]:
    """Return the memory of each tensor, and the bytes of each memory that are used."""
    whole = place(found.tensors, len(found.steps), alignment)
    if whole is not None and whole.nbytes <= memories[0].nbytes:  # its offsets are better than those that spread finds
        offsets: list[Mapping[str, int]] = [whole.offsets, *({} for _ in memories[1:])]
    else:
        offsets = spread(_busiest_first(found), [memory.nbytes for memory in memories], alignment)
    size = {tensor.name: tensor.nbytes for tensor in found.tensors}
    places = {name: memory.name for memory, held in zip(memories, offsets, strict=True) for name in held}
    used = {
        memory.name: max((at + size[name] for name, at in held.items()), default=0)
        for memory, held in zip(memories, offsets, strict=True)
    }
    return places, used


def _busiest_first(found: Lifetimes) -> list[Lifetime]:
    """Return the tensors, those first that are read most often; among equals the larger ones."""
    uses = {tensor.name: 0 for tensor in found.tensors}
    for bound in found.steps:
        for name in dict.fromkeys((*bound.step.input_names, *bound.step.output_names)):
            if name in uses:
                uses[name] += 1
    return sorted(found.tensors, key=lambda tensor: (-uses[tensor.name], -tensor.nbytes))


def _is_float(bound: BoundStep) -> bool:
    """Tell whether a step reads or makes floats, but for constants."""
    names = [name for name in bound.step.input_names if name not in bound.consts]
    return any(is_float(bound.tensors[name].dtype) for name in (*names, *bound.step.output_names))
