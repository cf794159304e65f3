"""InferenceSession: what a script for onnxruntime calls, computed here under a profile of one's choice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import onnx
from onnx import helper

from qdqnp.api.arguments import AnyModel, AnyProfile, name_of, opened, profile_with, source_of
from qdqnp.api.progress import LOG
from qdqnp.errors import InputError, Problem, UnknownNameError, did_you_mean, shorten
from qdqnp.graph import Shape
from qdqnp.quant import Array
from qdqnp.reader.proto import open_model

#: What a session here is made by, in the place of onnxruntime's 'CPUExecutionProvider'.
PROVIDER = "QdqnpExecutionProvider"
#: Element types whose name in ONNX Runtime is not ONNX's in lower case.
_TYPES = {onnx.TensorProto.FLOAT: "float", onnx.TensorProto.DOUBLE: "double"}


@dataclass(frozen=True)
class NodeArg:
    """An input or output of a model, as onnxruntime.NodeArg says it."""

    name: str
    #: Sizes; a name where the file leaves one open, None where it is not known.
    shape: list[int | str | None]
    #: Such as 'tensor(float)'.
    type: str

    def __str__(self) -> str:
        return f"NodeArg(name={self.name!r}, type={self.type!r}, shape={self.shape})"


@dataclass(frozen=True)
class ModelMetadata:
    """What the file says of itself, as onnxruntime.ModelMetadata has it."""

    producer_name: str = ""
    graph_name: str = ""
    domain: str = ""
    description: str = ""
    graph_description: str = ""
    version: int = 0
    custom_metadata_map: dict[str, str] = field(default_factory=dict)


class MissingInputError(InputError, ValueError):
    """An input is missing in the feed; onnxruntime raises a ValueError then."""


class InferenceSession:
    """A look-alike of onnxruntime.InferenceSession: a script changes its import, and runs under a profile.

        path_or_bytes: a path, bytes, an onnx.ModelProto, or what qdqnp.load returned.
        sess_options: accepted and ignored; the log says so. Results here depend on no option.
        providers: likewise.
        provider_options: likewise.
        profile: the arithmetic; 'ort' is that of onnxruntime's session on x86-64 with VNNI.
        threads: how many compute at a time, as in `Model.run`.

    Raises ModelError where the model cannot be read (onnxruntime: NoSuchFile, InvalidProtobuf, InvalidGraph),
    ProfileError where the profile does not define it (onnxruntime: NotImplemented).

    >>> import numpy as np
    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> session = qdqnp.InferenceSession(shipped_model("dla46_c_int8"), providers=["CPUExecutionProvider"])
    >>> [(given.name, given.type, given.shape) for given in session.get_inputs()]
    [('input', 'tensor(float)', [1, 3, 32, 32])]
    >>> session.run(None, {"input": np.zeros((1, 3, 32, 32), np.float32)})[0].shape
    (1, 10)
    """

    def __init__(
        self,
        path_or_bytes: AnyModel,
        sess_options: Any = None,
        providers: Sequence[Any] | None = None,
        provider_options: Sequence[Mapping[str, Any]] | None = None,
        *,
        profile: AnyProfile = "ort",
        threads: int = 1,
        **kwargs: Any,
    ) -> None:
        given = {"sess_options": sess_options, "providers": providers, "provider_options": provider_options, **kwargs}
        ignored = ", ".join(name for name, value in given.items() if value is not None)
        if ignored:
            LOG.info("InferenceSession: ignored here, where results depend on none of it: %s", ignored)
        self._model = opened(path_or_bytes)
        self._profile = profile_with(profile)
        self._model.plan(self._profile)  # what it does not define is said now, as onnxruntime does
        self._threads = threads
        self._source = path_or_bytes
        self._path = name_of(path_or_bytes)

    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any], run_options: Any = None
    ) -> list[Array]:
        """Compute outputs.

            output_names: which, in this order; all of the model's if None or empty.
            input_feed: arrays by input name.
            run_options: accepted and ignored.

        Raises MissingInputError, a ValueError, for inputs that are missing; InputError for names that the model does
        not have and for arrays of another dtype or shape (onnxruntime: InvalidArgument).

        >>> import numpy as np
        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> session = qdqnp.InferenceSession(shipped_model("dla46_c_int8"))
        >>> [one.shape for one in session.run(["output"], {"input": np.zeros((1, 3, 32, 32), np.float32)})]
        [(1, 10)]
        """
        names = list(output_names or self._model.graph.outputs)
        for name in names:
            if name not in self._model.graph.outputs:
                _refuse_output(name, self._model.graph.outputs)
        feeds = {name: np.asarray(array) for name, array in input_feed.items()}
        self._check(feeds)
        made = self._model.run(feeds, profile=self._profile, threads=self._threads)
        return [made[name] for name in names]

    def get_inputs(self) -> list[NodeArg]:
        """Return the inputs, in the order of the file.

        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> session = qdqnp.InferenceSession(shipped_model("dla46_c_int8"))
        >>> [given.name for given in session.get_inputs()]
        ['input']
        """
        return [self._argument(name) for name in self._model.graph.inputs]

    def get_outputs(self) -> list[NodeArg]:
        """Return the outputs, in the order of the file.

        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> session = qdqnp.InferenceSession(shipped_model("dla46_c_int8"))
        >>> [str(made) for made in session.get_outputs()]
        ["NodeArg(name='output', type='tensor(float)', shape=[1, 10])"]
        """
        return [self._argument(name) for name in self._model.graph.outputs]

    def get_overridable_initializers(self) -> list[NodeArg]:
        """Return what may be fed in place of a constant: nothing, for constants are bound when the model is loaded.

        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> session = qdqnp.InferenceSession(shipped_model("dla46_c_int8"))
        >>> session.get_overridable_initializers()
        []
        """
        return []

    def get_modelmeta(self) -> ModelMetadata:
        """Return what the file says of itself. Raises InputError for a Model of a graph alone.

        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> session = qdqnp.InferenceSession(shipped_model("dla46_c_int8"))
        >>> session.get_modelmeta().graph_name
        'dla46_c'
        """
        proto = open_model(source_of(self._source)).model
        return ModelMetadata(
            proto.producer_name,
            proto.graph.name,
            proto.domain,
            proto.doc_string,
            proto.graph.doc_string,
            proto.model_version,
            {entry.key: entry.value for entry in proto.metadata_props},
        )

    def get_providers(self) -> list[str]:
        """Return the one provider that there is here.

        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> session = qdqnp.InferenceSession(shipped_model("dla46_c_int8"))
        >>> session.get_providers()
        ['QdqnpExecutionProvider']
        """
        return [PROVIDER]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        """Return the provider's options: the profile that computes.

        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> session = qdqnp.InferenceSession(shipped_model("dla46_c_int8"))
        >>> session.get_provider_options()
        {'QdqnpExecutionProvider': {'profile': 'ort'}}
        """
        return {PROVIDER: {"profile": self._profile.name}}

    def set_providers(self, providers: Iterable[Any] | None = None, provider_options: Any = None) -> None:
        """Ignore other providers, and say so in the log.

        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> session = qdqnp.InferenceSession(shipped_model("dla46_c_int8"))
        >>> session.set_providers(["CPUExecutionProvider"])
        >>> session.get_providers()
        ['QdqnpExecutionProvider']
        """
        LOG.info("InferenceSession: ignored here, where results depend on none of it: providers")

    def run_with_iobinding(self, iobinding: Any, run_options: Any = None) -> NoReturn:
        """Refuse: there is no memory of a device here. Raises InputError.

        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> session = qdqnp.InferenceSession(shipped_model("dla46_c_int8"))
        >>> session.run_with_iobinding(None)
        Traceback (most recent call last):
        qdqnp.errors.InputError: arrays are passed by name here
          - run_with_iobinding: expected run(output_names, input_feed), got a binding to memory of a device
        """
        raise _no_binding()

    def io_binding(self) -> NoReturn:
        """Refuse, as `run_with_iobinding`. Raises InputError.

        >>> import qdqnp
        >>> from qdqnp.inputs.shipped import shipped_model
        >>> session = qdqnp.InferenceSession(shipped_model("dla46_c_int8"))
        >>> session.io_binding()
        Traceback (most recent call last):
        qdqnp.errors.InputError: arrays are passed by name here
          - run_with_iobinding: expected run(output_names, input_feed), got a binding to memory of a device
        """
        raise _no_binding()

    def __repr__(self) -> str:
        return f"<InferenceSession of {self._path or 'a model'}, profile {self._profile.name}>"

    def _check(self, feeds: Mapping[str, Array]) -> None:
        """Refuse what onnxruntime refuses, and `Model.run` does not: codes in the place of real values."""
        missing = [name for name in self._model.graph.inputs if name not in feeds]
        if missing:
            named = ", ".join(f"'{shorten(str(name), 60)}'" for name in list(feeds)[:20])
            got = f"{named} alone" if named else "nothing"
            problems = [Problem(f"input '{shorten(name, 60)}'", "an array", got) for name in missing[:20]]
            raise MissingInputError("required inputs are missing from the feed", problems)
        for given in self.get_inputs():
            expected = self._model.graph.values[given.name].dtype
            if feeds[given.name].dtype != expected:
                problem = Problem(
                    f"input '{given.name}'", str(expected), str(feeds[given.name].dtype), "astype() converts it."
                )
                raise InputError("unexpected input data type", [problem])

    def _argument(self, name: str) -> NodeArg:
        value = self._model.graph.values[name]
        return NodeArg(name, list(_sizes(value.shape)), f"tensor({_type(value.dtype)})")


def _sizes(shape: Shape) -> Iterable[int | str | None]:
    return shape


def _type(dtype: np.dtype[Any]) -> str:
    """Return ONNX Runtime's name of an element type."""
    element = helper.np_dtype_to_tensor_dtype(dtype)
    return str(_TYPES.get(element, onnx.TensorProto.DataType.Name(element).lower()))


def _refuse_output(name: str, known: Sequence[str]) -> NoReturn:
    listed = ", ".join(f"'{shorten(one, 60)}'" for one in known[:20])
    hint = f"{did_you_mean(str(name), known)} The model's outputs: {listed}".strip()
    problem = Problem(f"output '{shorten(str(name), 60)}'", "an output of the model", "another name", hint)
    raise UnknownNameError("no such output", [problem])


def _no_binding() -> InputError:
    problem = Problem("run_with_iobinding", "run(output_names, input_feed)", "a binding to memory of a device")
    return InputError("arrays are passed by name here", [problem])
