"""A model card: what publishers state of a network, from its file alone."""

from __future__ import annotations

import heapq
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import onnx

from qdqnp.errors import InputError, Problem
from qdqnp.evaluation.columns import ModelColumn
from qdqnp.evaluation.evaluate import EvaluationOptions, evaluate
from qdqnp.evaluation.result import Evaluation
from qdqnp.executor.plan import Plan
from qdqnp.inputs.pictures import Preprocessing
from qdqnp.inspection.layers import LayerInfo, layers_of
from qdqnp.inspection.lifetimes import Lifetime, Lifetimes, lifetimes, live_bytes
from qdqnp.model import Model, load
from qdqnp.model_card.constants import (
    FlashNeed,
    QuantizationSummary,
    count_parameters,
    flash_need,
    quantization_summary,
)
from qdqnp.model_card.device import DeviceFigures, device_from
from qdqnp.model_card.placement import StaticPlacement, place
from qdqnp.model_card.roofline import ASSUMPTIONS, TimeEstimate, time_estimate
from qdqnp.model_card.sharing import shared
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profile_toml import profile_from
from qdqnp.reader.proto import CutModel, Source
from qdqnp.st.footprint import PoolUse, footprint
from qdqnp.st.read import read
from qdqnp.version import __version__

#: Tensors of each layer that are listed, and layers with tensors that are gone through; more would take too long.
LISTED_TENSORS, MOST_TO_LIST = 16, 5_000_000
#: What tensors may share, from the fewest assumptions on: in words, whether in place, whether in joins.
SHARING = (
    ("nothing", False, False),
    ("an output takes the place of an input", True, False),
    ("a join's inputs lie in its output", False, True),
    ("both", True, True),
)


@dataclass(frozen=True)
class SharedNeed:
    """The activation memory that a network needs under one assumption."""

    #: What tensors may share.
    shares: str
    #: The most bytes that are alive at once.
    peak: int
    #: The label of the layer during which that is.
    peak_layer: str
    #: The pieces of memory.
    pieces: tuple[Lifetime, ...]
    #: The best placement found; None for too many pieces.
    placement: StaticPlacement | None


@dataclass(frozen=True)
class CardLayer:
    """One layer of the card."""

    #: The layer, as `inspect` describes it.
    info: LayerInfo
    #: Bytes of tensors that are alive during the layer, nothing shared.
    alive: int
    #: How many tensors that are.
    count: int
    #: The names of the largest; none where there are too many tensors in all to look for them.
    tensors: tuple[str, ...]


@dataclass(frozen=True)
class ModelCard:
    """A model card."""

    #: The model's name: that of its file.
    name: str
    #: The profile's name.
    profile: str
    #: The lowering that made the program.
    lowering: str
    #: Inputs and outputs: name, dtype and shape, scale and zero point of codes.
    inputs: tuple[Mapping[str, Any], ...]
    outputs: tuple[Mapping[str, Any], ...]
    #: Elements of weights and biases.
    parameters: int
    #: Multiply-accumulates for one run; None where sizes are open.
    macs: int | None
    #: How often each operator runs.
    operators: Mapping[str, int]
    quantization: QuantizationSummary
    flash: FlashNeed
    #: Whether inputs come as codes and outputs leave as codes.
    codes_at_ends: bool
    #: The layers in the order in which they run.
    layers: tuple[CardLayer, ...]
    #: Activation memory under each assumption; () where sizes are open.
    memory: tuple[SharedNeed, ...]
    #: The estimate of a device's time; None where no device was given, or sizes are open.
    time: TimeEstimate | None
    #: What ST's compiler uses of each memory; () where its files were not given.
    compiled: tuple[PoolUse, ...]
    #: The accuracy of each column; None where no data were given.
    accuracy: Evaluation | None

    def as_json(self) -> dict[str, Any]:
        """Return the card as plain values."""
        return {
            "qdqnp": __version__,
            "model": self.name,
            "profile": self.profile,
            "lowering": self.lowering,
            "inputs": [dict(one) for one in self.inputs],
            "outputs": [dict(one) for one in self.outputs],
            "parameters": self.parameters,
            "macs": self.macs,
            "operators": dict(self.operators),
            "quantization": asdict(self.quantization),
            "flash": {**asdict(self.flash), "total": self.flash.total},
            "codes_at_ends": self.codes_at_ends,
            "memory": [_need_json(need) for need in self.memory],
            "layers": [
                {
                    **vars(layer.info),
                    "alive": layer.alive,
                    "tensors_alive": layer.count,
                    "largest": list(layer.tensors),
                }
                for layer in self.layers
            ],
            "time": None if self.time is None else _time_json(self.time),
            "compiled": [{**asdict(use), "external": use.external, "fullest": use.fullest} for use in self.compiled],
            "accuracy": None if self.accuracy is None else self.accuracy.as_json(),
        }


def model_card(
    model: Source | CutModel | Model,
    *,
    profile: str | Profile = "ort",
    device: str | Path | DeviceFigures | None = None,
    st: Sequence[str | Path] = (),
    host_float: bool = False,
    float_ends: bool = False,
    data: object = None,
    preprocessing: Preprocessing | None = None,
    columns: Sequence[ModelColumn] = (),
    **how: Unpack[EvaluationOptions],
) -> ModelCard:
    """Fill in a model card.

        model: a file, its bytes, an onnx.ModelProto, or a Model.
        profile: the arithmetic: a name, a .toml file, or a Profile.
        device: the device of the estimate: a name, a .toml file, or its figures; None makes no estimate.
        st: folders that ST's compiler left for this network.
        host_float: whether layers that the profile does not define count as computed in float by a host.
        float_ends: whether float inputs, outputs and their conversions are the device's; without it inputs come as
            codes and outputs leave as codes.
        data: labelled inputs, as `evaluate` takes them, for the accuracy; None leaves it out.
        preprocessing: what is done to pictures.
        columns: other models and arithmetics whose accuracy stands beside that of the model under the profile.
        how: keyword arguments of `evaluate` that say what the classes are, and where it is computed.

    Raises ModelError and ProfileError as `load` and `plan` do, InputError for a device or folder that is not one; what
    `evaluate` raises.

    >>> from qdqnp.inputs.shipped import shipped_model
    >>> card = model_card(shipped_model("dla46_c_int8"))
    >>> card.parameters, card.macs, card.flash.weights
    (1042938, 11717120, 1038896)
    >>> nothing = card.memory[0]
    >>> nothing.peak, nothing.peak_layer, nothing.placement.nbytes
    (32768, 'level0.0', 32768)
    """
    figures = device if isinstance(device, DeviceFigures | None) else device_from(device)
    uses = footprint(read([Path(folder) for folder in st])) if st else ()
    loaded = model if isinstance(model, Model) else load(model)
    arithmetic = profile_from(profile)
    plan = loaded.plan(replace(arithmetic, host_float=True) if host_float else arithmetic)
    found = lifetimes(plan, codes_at_ends=not float_ends)
    infos = layers_of(plan)
    counted = infos if found is None else _counted(infos, found)
    alignment = 1 if figures is None else figures.alignment
    ends = found if found is not None else plan.program
    return ModelCard(
        name=_name(model),
        profile=plan.profile.name,
        lowering=plan.program.lowering,
        inputs=tuple(map(partial(_end, plan), ends.inputs, plan.program.inputs)),
        outputs=tuple(map(partial(_end, plan), ends.outputs, plan.program.outputs)),
        parameters=count_parameters(plan),
        macs=None if found is None else sum(info.macs or 0 for info in counted),
        operators=_operators(counted),
        quantization=quantization_summary(plan),
        flash=flash_need(plan),
        codes_at_ends=not float_ends,
        layers=_layers(counted, found),
        memory=() if found is None else tuple(_need(found, *how, alignment) for how in SHARING),
        time=None if found is None or figures is None else time_estimate(plan, found, figures),
        compiled=tuple(uses),
        accuracy=_accuracy(model, arithmetic, host_float, columns, data, preprocessing, how),
    )


def _accuracy(
    model: Source | CutModel | Model,
    profile: Profile,
    host_float: bool,
    columns: Sequence[ModelColumn],
    data: object,
    preprocessing: Preprocessing | None,
    how: EvaluationOptions,
) -> Evaluation | None:
    """Return the accuracy of the model under the profile, and of the other columns; None without data."""
    if data is None:
        if columns or preprocessing is not None or any(value is not None for value in how.values()):
            problem = Problem("data", "labelled inputs", "none", "Give --data, or leave out what is said of them.")
            raise InputError("there is nothing to evaluate", [problem])
        return None
    if not isinstance(model, str | os.PathLike | bytes | onnx.ModelProto):
        problem = Problem("model", "a file, its bytes, or an onnx.ModelProto", "one that is loaded, or cut")
        raise InputError("the accuracy is that of a whole model's file", [problem])
    mine = ModelColumn(profile.name, model, profile)
    return evaluate([mine, *columns], data, preprocessing=preprocessing, host_float=host_float, **how)


def _name(model: object) -> str:
    source = model.source if isinstance(model, CutModel) else model
    return Path(source).name if isinstance(source, str | Path) else "model"


def _end(plan: Plan, name: str, in_file: str) -> Mapping[str, Any]:
    """Describe an input or output, and name that of the file which it stands for."""
    tensor = plan.program.tensors[name]
    found: dict[str, Any] = {"name": name, "in_file": in_file, "dtype": str(tensor.dtype), "shape": list(tensor.shape)}
    quant = tensor.quant
    if quant is not None and quant.per_tensor:
        found |= {"scale": float(quant.scale), "zero_point": int(quant.zero_point)}
    return found


def _counted(infos: Sequence[LayerInfo], found: Lifetimes) -> list[LayerInfo]:
    """Return the layers that are counted."""
    outputs = {bound.step.output_names[0] for bound in found.steps}
    return [info for info in infos if info.output in outputs]


def _operators(infos: Sequence[LayerInfo]) -> Mapping[str, int]:
    names = sorted(info.op for info in infos)
    return {name: names.count(name) for name in dict.fromkeys(names)}


def _layers(infos: Sequence[LayerInfo], found: Lifetimes | None) -> tuple[CardLayer, ...]:
    """Return the layers, with the tensors that are alive during each."""
    if found is None:
        return tuple(CardLayer(info, 0, 0, ()) for info in infos)
    sizes = live_bytes(found.tensors, len(infos)).tolist()
    counts = live_bytes([replace(tensor, nbytes=1) for tensor in found.tensors], len(infos)).tolist()
    if sum(counts) > MOST_TO_LIST:
        return tuple(CardLayer(info, size, count, ()) for info, size, count in zip(infos, sizes, counts, strict=True))
    starts: dict[int, list[Lifetime]] = {}
    for tensor in found.tensors:
        starts.setdefault(tensor.first, []).append(tensor)
    made, alive = [], list[Lifetime]()
    for index, info in enumerate(infos):
        alive = [tensor for tensor in alive if tensor.last >= index] + starts.get(index, [])
        listed = heapq.nsmallest(LISTED_TENSORS, alive, key=lambda tensor: (-tensor.nbytes, tensor.first))
        made.append(CardLayer(info, sizes[index], counts[index], tuple(tensor.name for tensor in listed)))
    return tuple(made)


def _need(found: Lifetimes, shares: str, in_place: bool, joins: bool, alignment: int) -> SharedNeed:
    pieces = shared(found, in_place, joins).pieces
    alive = live_bytes(pieces, len(found.steps))
    label = found.steps[int(alive.argmax())].step.label if found.steps else ""
    return SharedNeed(shares, int(alive.max()), label, pieces, place(pieces, len(found.steps), alignment))


def _need_json(need: SharedNeed) -> dict[str, Any]:
    made = need.placement
    placed = None
    if made is not None:
        offsets = [{**asdict(piece), "offset": made.offsets[piece.name]} for piece in need.pieces]
        placed = {"nbytes": made.nbytes, "bound": made.bound, "order": made.order, "pieces": offsets}
    return {"shares": need.shares, "peak": need.peak, "peak_layer": need.peak_layer, "placement": placed}


def _time_json(time: TimeEstimate) -> dict[str, Any]:
    return {
        "estimate": True,
        "device": asdict(time.device),
        "assumptions": list(ASSUMPTIONS),
        "seconds": time.seconds,
        "seconds_apart": time.seconds_apart,
        "seconds_computing": time.seconds_computing,
        "used": dict(time.used),
        "without_room": list(time.without_room),
        "left_out": list(time.left_out),
        "layers": [
            {"label": layer.label, "seconds": layer.seconds, "limit": layer.limit, "parts": dict(layer.parts)}
            for layer in time.layers
        ],
    }
