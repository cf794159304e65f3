"""ONNX's backend interface: what takes any backend takes this module (`onnx.backend.base`).

>>> import numpy as np
>>> from qdqnp import backend
>>> from qdqnp.inputs.shipped import shipped_model
>>> prepared = backend.prepare(shipped_model("dla46_c_int8"), "CPU", profile="tflite")
>>> outputs = prepared.run([np.zeros((1, 3, 32, 32), np.float32)])
>>> outputs["output"].shape
(1, 10)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.backend.base import Backend, BackendRep, namedtupledict

from qdqnp.errors import InputError, ModelError, Problem, QdqnpError
from qdqnp.graph import MICROSOFT, ONNX
from qdqnp.model import Model, load
from qdqnp.numerics.profile import Profile
from qdqnp.reader.proto import Source

CPU = "CPU"

#: What a run takes: arrays in the order of the model's inputs, by name, or the only one by itself.
BackendInputs: TypeAlias = Sequence[Any] | Mapping[str, Any] | np.ndarray[Any, Any]


class QdqnpRep(BackendRep):
    """A prepared model, as onnx calls what a backend returns."""

    def __init__(self, model: Model, profile: str | Profile) -> None:
        self.model = model
        self.profile = profile

    def run(self, inputs: BackendInputs, **kwargs: Any) -> tuple[Any, ...]:
        """Run the model, and return its outputs as a named tuple, in the order of the file; `[name]` finds one too.

        inputs: arrays in the order of the model's inputs, which leaves out its initializers; or by name; or the array
            itself where the model has one input.

        Raises InputError for inputs that do not fit, TypeError for keywords.
        """
        _refuse_keywords("run", kwargs)
        names = self.model.graph.inputs
        outputs = self.model.graph.outputs
        found = self.model.run(_by_name(names, inputs), profile=self.profile)
        made: tuple[Any, ...] = namedtupledict("Outputs", list(outputs))(*(found[name] for name in outputs))
        return made


class QdqnpBackend(Backend):
    """qdqnp as a backend of onnx. The functions of this module are its methods."""

    @classmethod
    def is_compatible(cls, model: Any, device: str = CPU, **kwargs: Any) -> bool:
        """Tell whether qdqnp runs a model on a device; `prepare` says why not.

        model: an onnx.ModelProto, bytes or a path.
        kwargs: those of `prepare`.
        """
        try:
            cls.prepare(model, device, **kwargs)
        except QdqnpError:
            return False
        return True

    @classmethod
    def prepare(cls, model: Any, device: str = CPU, **kwargs: Any) -> QdqnpRep:
        """Load a model for many runs.

            model: an onnx.ModelProto, bytes or a path.
            device: 'CPU'.
            kwargs: `profile`, the arithmetic, by name or as a value, 'ort' without it; `operators`, those that qdqnp
                does not have, as `qdqnp.load` takes them.

        Raises InputError for another device, ModelError and ProfileError where the model cannot run, and TypeError for
        other keywords.
        """
        profile, operators = kwargs.pop("profile", "ort"), kwargs.pop("operators", ())
        _refuse_keywords("prepare", kwargs)
        if not cls.supports_device(device):
            raise InputError("cannot prepare the model", [Problem("device", f"'{CPU}'", f"'{device}'")])
        source: Source = model
        loaded = load(source, operators=operators)
        loaded.plan(profile)
        return QdqnpRep(loaded, profile)

    @classmethod
    def run_model(cls, model: Any, inputs: Any, device: str = CPU, **kwargs: Any) -> tuple[Any, ...]:
        """Prepare a model and run it once; the arguments are those of `prepare` and `QdqnpRep.run`.

        >>> import numpy as np
        >>> from qdqnp import backend
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> x = np.zeros((1, 3, 32, 32), np.float32)
        >>> len(backend.run_model(shipped_model("dla46_c_int8"), [x]))
        1
        """
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Any,
        device: str = CPU,
        outputs_info: Sequence[tuple[Any, Sequence[int]]] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Run one node, and return its outputs.

            inputs: arrays in the order of the node's inputs, which leaves out those that are absent (''); or by name.
            outputs_info: dtype and shape of each output, which are checked against what the node makes.
            kwargs: `opset_version`, of ONNX's domain, the newest that onnx has without it; and those of `prepare`.

        Inputs that qdqnp needs when it loads a model, such as the shape of a Reshape, are made constants. Raises the
        errors of `prepare` and `QdqnpRep.run`.

        >>> import numpy as np
        >>> from onnx import helper
        >>> from qdqnp import backend
        >>> node = helper.make_node("Add", ["a", "b"], ["c"])
        >>> backend.run_node(node, [np.float32([1, 2]), np.float32([3, 4])])["c"].tolist()
        [4.0, 6.0]
        """
        opset = kwargs.pop("opset_version", onnx.defs.onnx_opset_version())
        names = list(dict.fromkeys(name for name in node.input if name))
        arrays = {name: np.asarray(array) for name, array in _by_name(names, inputs).items()}
        unknown = [name for name in names if name not in arrays]
        if unknown:
            problems = [Problem(f"input '{name}'", "an array", "none") for name in unknown]
            raise InputError("inputs of the node are missing", problems)
        try:
            prepared = cls.prepare(_model_of(node, arrays, outputs_info, opset, ()), device, **kwargs)
        except ModelError:
            prepared = cls.prepare(_model_of(node, arrays, outputs_info, opset, names), device, **kwargs)
        return prepared.run({name: arrays[name] for name in prepared.model.graph.inputs})

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Tell whether qdqnp runs on a device as onnx names it: on 'CPU' alone.

        >>> from qdqnp import backend
        >>> backend.supports_device("CPU"), backend.supports_device("CUDA:1")
        (True, False)
        """
        return device.partition(":")[0] == CPU


def _model_of(
    node: onnx.NodeProto,
    arrays: Mapping[str, Any],
    outputs_info: Sequence[tuple[Any, Sequence[int]]] | None,
    opset: int,
    constants: Sequence[str],
) -> onnx.ModelProto:
    """Return the model of one node. constants: the inputs that are initializers."""
    kind = helper.np_dtype_to_tensor_dtype
    inputs = [
        helper.make_tensor_value_info(name, kind(array.dtype), array.shape)
        for name, array in arrays.items()
        if name not in constants
    ]
    made = [name for name in node.output if name]
    outputs = [onnx.ValueInfoProto(name=name) for name in made]
    if outputs_info is not None:
        stated = zip(made, outputs_info, strict=False)
        outputs = [helper.make_tensor_value_info(n, kind(np.dtype(dtype)), shape) for n, (dtype, shape) in stated]
    given = [numpy_helper.from_array(arrays[name], name) for name in constants]
    graph = helper.make_graph([node], node.op_type, inputs, outputs, given)
    domains = {ONNX: opset, MICROSOFT: 1}
    domains.setdefault(node.domain if node.domain != "ai.onnx" else ONNX, 1)
    opsets = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=min(onnx.IR_VERSION, 10))


def _by_name(names: Sequence[str], inputs: BackendInputs) -> dict[str, Any]:
    """Return inputs by name."""
    if isinstance(inputs, Mapping):
        return dict(inputs)
    given = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
    if len(given) != len(names):
        listing = ", ".join(f"'{name}'" for name in names[:20])
        problem = Problem("inputs", str(len(names)), str(len(given)), f"In this order: {listing}." if names else "")
        raise InputError("not as many inputs as the model has", [problem])
    return dict(zip(names, given, strict=True))


def _refuse_keywords(function: str, keywords: Mapping[str, Any]) -> None:
    if keywords:
        raise TypeError(f"qdqnp.backend.{function}() got an unexpected keyword argument '{next(iter(keywords))}'")


is_compatible = QdqnpBackend.is_compatible
prepare = QdqnpBackend.prepare
run_model = QdqnpBackend.run_model
run_node = QdqnpBackend.run_node
supports_device = QdqnpBackend.supports_device
