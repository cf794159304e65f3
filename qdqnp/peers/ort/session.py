"""Open sessions of ONNX Runtime, and say which session each profile stands for. Only this file imports onnxruntime."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from qdqnp.errors import PeerError, Problem
from qdqnp.quant import Array

TESTED = "1.32"
ALL, EXTENDED, OFF = "ORT_ENABLE_ALL", "ORT_ENABLE_EXTENDED", "ORT_DISABLE_ALL"
# Keeps CPUs without VNNI from saturating uint8 x int8 products, by making the weights uint8. It does so with int8
# activations too, for which onnxruntime 1.32 then has no kernel; those need no protection.
PRECISE = {"session.x64quantprecision": "1"}
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
    try:
        return [np.asarray(array) for array in session.run(list(names), dict(feeds))]
    except Exception as error:  # as above
        raise PeerError("ONNX Runtime cannot run the model", [Problem("run", "outputs", str(error))]) from error


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
