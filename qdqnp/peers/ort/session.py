"""Open sessions of ONNX Runtime, and say which session each profile stands for. Only this file imports onnxruntime."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from qdqnp.element_types import BFLOAT16, FLOAT8, INT2, INT4, PACKED, UINT2, UINT4, Dtype, bytes_in_file, unpacked
from qdqnp.errors import PeerError, Problem
from qdqnp.quant import Array

TESTED = "1.32"
ALL, EXTENDED, OFF = "ORT_ENABLE_ALL", "ORT_ENABLE_EXTENDED", "ORT_DISABLE_ALL"
# Keeps CPUs without VNNI from saturating uint8 x int8 products, by making the weights uint8. It does so with int8
# activations too, for which onnxruntime 1.32 then has no kernel; those need no protection.
PRECISE = {"session.x64quantprecision": "1"}
#: The element types, as onnxruntime writes them, of tensors that it gives as no NumPy array, or as bytes.
UNNAMED: Mapping[str, Dtype] = {
    "tensor(bfloat16)": BFLOAT16,
    "tensor(float8e4m3fn)": FLOAT8[0],
    "tensor(float8e4m3fnuz)": FLOAT8[1],
    "tensor(float8e5m2)": FLOAT8[2],
    "tensor(float8e5m2fnuz)": FLOAT8[3],
    "tensor(uint4)": UINT4,
    "tensor(int4)": INT4,
    "tensor(uint2)": UINT2,
    "tensor(int2)": INT2,
}
# These optimizers append an activation to a float operator: the same numbers, but one tensor less to compare.
APPENDED = ("ConvActivationFusion", "GemmActivationFusion")


@dataclass(frozen=True)
class SessionKind:
    """The session whose arithmetic a profile describes."""

    #: The profile's name.
    profile: str
    #: Of graph optimization, of the graph whose tensors are compared.
    level: str
    #: Session configuration entries.
    config: Mapping[str, str] = field(default_factory=dict)
    #: Whether it needs a CPU that adds up uint8 x int8 products in pairs with saturation.
    saturating: bool = False

    @property
    def users(self) -> str:
        """Return the level of the session that a user opens.

        It is the default, ALL, which may put float operators into another layout. The profile promises nothing of
        these, and its outputs are compared with that session's too.
        """
        return OFF if self.level == OFF else ALL


KINDS: Mapping[str, SessionKind] = {
    kind.profile: kind
    for kind in (
        SessionKind("ort", EXTENDED, {"session.qdqisint8allowed": "1"}),
        SessionKind("ort-x64", EXTENDED, {"session.qdqisint8allowed": "0"}),
        SessionKind("ort-unfused", OFF),
        SessionKind("ort-avx2", EXTENDED, {"session.qdqisint8allowed": "0"}, saturating=True),
    )
}


def import_onnxruntime() -> Any:
    """Return the module. Raises PeerError with the command that installs it."""
    try:
        import onnxruntime
    except ImportError as error:
        problem = Problem("onnxruntime", "to be installed", "no such module", 'Run: pip install "qdqnp[ort]"')
        raise PeerError("comparing with ONNX Runtime needs onnxruntime", [problem]) from error
    return onnxruntime


def open_session(
    model: str | bytes,
    level: str,
    config: Mapping[str, str],
    threads: int = 1,
    save: Path | None = None,
    without: Collection[str] = (),
) -> Any:
    """Open a CPU session.

        model: the model's path or bytes.
        level: the level of graph optimization.
        config: session configuration entries.
        threads: number of threads.
        save: where the session writes its optimized graph.
        without: names of optimizers to leave out.

    Raises PeerError where onnxruntime is missing or refuses the model.
    """
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    for key, value in config.items():
        options.add_session_config_entry(key, value)
    if save is not None:
        options.optimized_model_filepath = str(save)
    extra = {"disabled_optimizers": list(without)} if without else {}
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"], **extra)
    except Exception as error:  # onnxruntime raises its own classes, which share no public base
        raise PeerError("ONNX Runtime refuses the model", [Problem("session", "a session", str(error))]) from error


def run_session(session: Any, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
    """Return the outputs of these names. Raises PeerError."""
    kinds = {output.name: UNNAMED.get(output.type) for output in session.get_outputs()}
    try:
        if not any(kinds.get(name) for name in names):
            return [np.asarray(array) for array in session.run(list(names), dict(feeds))]
        ort = import_onnxruntime()
        given = {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in feeds.items()}
        found = session.run_with_ort_values(list(names), given)
    except Exception as error:  # as above
        raise PeerError("ONNX Runtime cannot run the model", [Problem("run", "outputs", str(error))]) from error
    return [_array(value, kinds.get(name)) for name, value in zip(names, found, strict=True)]


def _array(value: Any, dtype: Dtype | None) -> Array:
    """Return the elements of an OrtValue. dtype: of a type that NumPy cannot name; None for others."""
    if dtype is None:
        return np.asarray(value.numpy())
    shape = tuple(value.shape())
    content = ctypes.string_at(value.data_ptr(), bytes_in_file(dtype, math.prod(shape)))
    data = np.frombuffer(content, np.uint8)
    return (unpacked(data, dtype, math.prod(shape)) if dtype in PACKED else data.view(dtype)).reshape(shape)


class Sessions(Protocol):
    """Where sessions are opened and run; both raise PeerError."""

    def open(
        self,
        model: str | bytes,
        level: str,
        config: Mapping[str, str],
        threads: int = 1,
        save: Path | None = None,
        without: Collection[str] = (),
    ) -> Any: ...

    def run(self, session: Any, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]: ...


class Here:
    """Sessions in this process."""

    open = staticmethod(open_session)
    run = staticmethod(run_session)
