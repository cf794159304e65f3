"""Trace is what `Model.trace` returns: every tensor of one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdqnp.element_types import plain
from qdqnp.errors import InputError, Problem, UnknownNameError, shorten
from qdqnp.executor.events import Events
from qdqnp.executor.plan import copied_numbers
from qdqnp.executor.walk import Notes
from qdqnp.files.atomic import target
from qdqnp.files.npy import write_npz
from qdqnp.find import find_step
from qdqnp.frames import frame
from qdqnp.layers import ModelLayer, ModelTensor, layers_of, tensor_of
from qdqnp.lazy import lazy
from qdqnp.program import Program
from qdqnp.quant import Array

if TYPE_CHECKING:
    import pandas

#: The columns of a trace's table.
COLUMNS = (
    "tensor",
    "label",
    "op",
    "dtype",
    "shape",
    "scale",
    "zero_point",
    "least",
    "largest",
    "real_least",
    "real_largest",
)


@dataclass(frozen=True, eq=False)
class TracedLayer:
    """One layer of a run: what it read, what it made, and what its arithmetic used."""

    layer: ModelLayer
    #: Arrays by ONNX name; constants left out.
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    #: The real values of the first tensor that it made.
    real: Array
    #: int32 sums with bias; None unless the trace holds them.
    accumulators: Array | None
    #: What was counted inside the layer; None unless the trace holds it.
    events: Events | None
    #: The numbers that its arithmetic used.
    parameters: Mapping[str, Any]

    @property
    def codes(self) -> Array:
        """Return the first tensor that it made."""
        return next(iter(self.outputs.values()))

    def __repr__(self) -> str:
        return f"<traced {self.layer!r}>"


class Trace(Mapping[str, Array]):
    """Every tensor of one run by ONNX name, in the order in which they were made; inputs first, constants left out.

    The attributes hold more about each layer, by the name of the tensor that the layer made.
    """

    def __init__(self, tensors: Mapping[str, Array], notes: Notes, program: Program) -> None:
        self._tensors = dict(tensors)
        #: int32 sums with bias; empty unless asked for.
        self.accumulators: dict[str, Array] = notes.accumulators or {}
        #: What was counted inside the layer; empty unless asked for.
        self.events: dict[str, Events] = notes.events or {}
        self._numbers = notes.numbers
        self._program: Program | None = program

    def __getstate__(self) -> dict[str, Any]:
        """Pickle what is known of the layers in the place of the program, which has every constant."""
        known = {"layers": self.layers, "parameters": self.parameters, "_known": self._known}
        return {**self.__dict__, **known, "_numbers": {}, "_program": None}

    @lazy
    def parameters(self) -> dict[str, Mapping[str, Any]]:
        """The numbers that the layer's arithmetic used (multiplier and shift; A, BC, S1, S2)."""
        return {name: copied_numbers(used) for name, used in self._numbers.items()}

    @lazy
    def layers(self) -> tuple[ModelLayer, ...]:
        """The layers, in the order in which they ran."""
        assert self._program is not None
        return layers_of(self._program)

    @lazy
    def _known(self) -> dict[str, ModelTensor]:
        """Every tensor of the run by name."""
        assert self._program is not None
        return {name: tensor_of(self._program, name) for name in self._tensors}

    def __getitem__(self, name: str) -> Array:
        try:
            return self._tensors[name]
        except KeyError:
            raise _unknown(name, list(self._tensors)) from None

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def layer(self, name: str) -> TracedLayer:
        """Return one layer of the run.

        name: its label, ONNX node, tensor or number, or a glob of one, see qdqnp.find.

        Raises InputError, which says which names are near.

        >>> import numpy as np
        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> model = qdqnp.load(shipped_model("dla46_c_int8"))
        >>> found = model.trace(np.zeros((1, 3, 32, 32), np.float32)).layer("level0.0")
        >>> found.layer.op, found.codes.dtype, found.real.dtype, sorted(found.parameters)
        ('QLinearConv', dtype('int8'), dtype('float32'), ['multiplier'])
        """
        layer = self.layers[find_step(self.layers, name)]
        outputs = {one: self[one] for one in layer.output_names}
        inputs = {tensor.name: self._tensors[tensor.name] for tensor in layer.inputs if tensor.name in self._tensors}
        return TracedLayer(
            layer,
            inputs,
            outputs,
            layer.outputs[0].real(outputs[layer.name]),
            self.accumulators.get(layer.name),
            self.events.get(layer.name),
            self.parameters.get(layer.name, {}),
        )

    def real(self, name: str) -> Array:
        """Return the real values of a tensor: float32 (code - zero point) * scale where it holds codes.

        name: its ONNX name; or a layer as `layer` takes it, whose first tensor is meant.

        Raises InputError, which says which names are near.

        >>> import numpy as np
        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> model = qdqnp.load(shipped_model("dla46_c_int8"))
        >>> trace = model.trace(np.zeros((1, 3, 32, 32), np.float32))
        >>> np.array_equal(trace.real("fc"), model.layer("fc").outputs[0].real(trace.layer("fc").codes))
        True
        """
        if name in self._tensors:
            return self._known[name].real(self._tensors[name])
        return self.layer(name).real

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each tensor, by the names of COLUMNS.

        >>> import numpy as np
        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> trace = qdqnp.load(shipped_model("dla46_c_int8")).trace(np.zeros((1, 3, 32, 32), np.float32))
        >>> [row["tensor"] for row in trace.rows()][:2]
        ['input', 'input_QuantizeLinear_Output']
        """
        makers = {name: layer for layer in self.layers for name in layer.output_names}
        return [_row(self._known[name], makers.get(name), array) for name, array in self._tensors.items()]

    def to_frame(self) -> pandas.DataFrame:
        """Return `rows` as a DataFrame of pandas. Raises InputError where pandas is not installed.

        >>> import numpy as np
        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> trace = qdqnp.load(shipped_model("dla46_c_int8")).trace(np.zeros((1, 3, 32, 32), np.float32))
        >>> trace.to_frame().shape == (len(trace), len(COLUMNS))
        True
        """
        return frame(self.rows(), COLUMNS)

    def save(self, path: str | PathLike[str], *, force: bool = False) -> None:
        """Write every tensor under its ONNX name to an .npz file, whole or not at all: a dump for `qdqnp compare`.

            path: the file; its name ends in .npz.
            force: whether to replace a file that is in the way.

        Raises InputError where the file cannot be written or may not be replaced.

        >>> import numpy as np
        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> trace = qdqnp.load(shipped_model("dla46_c_int8")).trace(np.zeros((1, 3, 32, 32), np.float32))
        >>> trace.save("t.npz")
        >>> len(np.load("t.npz")) == len(trace)
        True
        """
        file = Path(path)
        if file.suffix != ".npz":
            raise InputError("cannot write the trace", [Problem(f"file {file}", "a name that ends in .npz", file.name)])
        write_npz(target(file, "the trace", force), self._tensors)

    def __repr__(self) -> str:
        names = list(self) or [""]
        first, last = shorten(names[0], 60), shorten(names[-1], 60)
        return f"<Trace: {len(self)} tensors of {len(self.layers)} layers, from '{first}' to '{last}'>"


def _row(tensor: ModelTensor, layer: ModelLayer | None, array: Array) -> dict[str, Any]:
    values, real = plain(array), tensor.real(array)
    ends = (values.min().item(), values.max().item()) if values.size else (None, None)
    reals = (real.min().item(), real.max().item()) if real.size else (None, None)
    label, op = ("", "") if layer is None else (layer.label, layer.op)
    found = (tensor.name, label, op, str(array.dtype), array.shape, tensor.scale, tensor.zero_point, *ends, *reals)
    return dict(zip(COLUMNS, found, strict=True))


def _unknown(name: object, names: list[str]) -> UnknownNameError:
    text = shorten(str(name), 60)
    near = get_close_matches(text, [shorten(one, 60) for one in names], 5, 0.4)
    hint = f"Did you mean {', '.join(map(repr, near))}?" if near else "layer() and real() take a layer's other names."
    return UnknownNameError(
        "no such tensor", [Problem(f"tensor '{text}'", "a tensor of the run", "another name", hint)]
    )
