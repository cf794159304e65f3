"""ONNX Runtime beside us: every tensor of its fused graph. The only file that imports onnxruntime.

Graph outputs added before optimization un-fuse ONNX Runtime's graph and change the numbers. So it first writes its
optimized graph; the outputs are added to that; and the result runs with optimization off. That this is still the
same computation is checked: the plain session's outputs must be the same bits.
"""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from qdqnp.errors import PeerError, Problem
from qdqnp.quant import Array

# The session configuration that the profile `ort` stands for: signed activations fuse.
INT8_ALLOWED = {"session.qdqisint8allowed": "1"}
# Keeps CPUs without VNNI from saturating uint8 x int8 products, by making the weights uint8. It does so with int8
# activations too, for which onnxruntime 1.32 then has no kernel; those need no protection, so it is left out there.
PRECISE = {"session.x64quantprecision": "1"}
TESTED = "1.32"
_FEATURES = ("sse4_1", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8")


@dataclass(frozen=True)
class Fused:
    """ONNX Runtime's optimized graph. operators: how many of each; tensors: names of every node's outputs."""

    operators: Mapping[str, int]
    tensors: tuple[str, ...]


class OrtPeer:
    """One model in ONNX Runtime, instrumented. Raises PeerError where it is missing or refuses the model.

    config: the session configuration that was used; fused: the optimized graph.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes | onnx.ModelProto, threads: int = 1) -> None:
        self._ort = import_onnxruntime()
        self._threads = threads
        model: Any = source.SerializeToString() if isinstance(source, onnx.ModelProto) else source
        model = os.fspath(model) if isinstance(model, os.PathLike) else model
        level = self._ort.GraphOptimizationLevel
        with tempfile.TemporaryDirectory(prefix="qdqnp-") as folder:
            path = Path(folder) / "optimized.onnx"
            self.config = {**INT8_ALLOWED, **PRECISE}
            try:
                self._plain = self._session(model, level.ORT_ENABLE_EXTENDED, path)
            except PeerError:
                self.config = INT8_ALLOWED
                self._plain = self._session(model, level.ORT_ENABLE_EXTENDED, path)
            optimized = onnx.load(path)
        self.fused = _describe(optimized)
        self._output_names = [output.name for output in optimized.graph.output]
        _expose(optimized, self.fused.tensors)
        self._instrumented = self._session(optimized.SerializeToString(), level.ORT_DISABLE_ALL, None)

    def _session(self, model: Any, level: Any, save: Path | None) -> Any:
        options = self._ort.SessionOptions()
        options.graph_optimization_level = level
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        for key, value in self.config.items():
            options.add_session_config_entry(key, value)
        if save is not None:
            options.optimized_model_filepath = str(save)
        try:
            return self._ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own classes, which share no public base
            raise PeerError("ONNX Runtime refuses the model", [Problem("session", "a session", str(error))]) from error

    def tensors(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Every tensor of the fused graph by ONNX name, for float32 (or whatever the model declares) inputs.

        Raises PeerError where the instrumented graph does not give the plain session's outputs.
        """
        values = {name: np.ascontiguousarray(array) for name, array in feeds.items()}
        names = [output.name for output in self._instrumented.get_outputs()]
        found = dict(zip(names, self._run(self._instrumented, names, values), strict=True))
        plain = dict(zip(self._output_names, self._run(self._plain, self._output_names, values), strict=True))
        for name, array in plain.items():
            if array.tobytes() != found[name].tobytes():
                problem = Problem(f"output '{name}'", "the plain session's values", "others",
                                  "The instrumented graph is not the computation it stands for.")  # fmt: skip
                raise PeerError("ONNX Runtime's instrumented run is not its plain run", [problem])
        return {**values, **found}

    def outputs(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The plain session's outputs by name."""
        return dict(zip(self._output_names, self._run(self._plain, self._output_names, feeds), strict=True))

    def _run(self, session: Any, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        try:
            return [np.asarray(array) for array in session.run(list(names), dict(feeds))]
        except Exception as error:  # as above
            raise PeerError("ONNX Runtime cannot run the model", [Problem("run", "outputs", str(error))]) from error


def import_onnxruntime() -> Any:
    """The module; raises PeerError with the command that installs it."""
    try:
        import onnxruntime
    except ImportError as error:
        problem = Problem("onnxruntime", "to be installed", "no such module", 'Run: pip install "qdqnp[ort]"')
        raise PeerError("comparing with ONNX Runtime needs onnxruntime", [problem]) from error
    return onnxruntime


def host() -> dict[str, str]:
    """onnxruntime's version, whether it is the tested one, and the abilities of this CPU that matter to it."""
    version = str(import_onnxruntime().__version__)
    note = "" if version.startswith(f"{TESTED}.") else f" (qdqnp is tested with {TESTED})"
    return {"onnxruntime": version + note, "cpu": f"{platform.machine()}: {_cpu_features()}"}


def _cpu_features() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "features unknown on this system"
    flags: set[str] = set()
    for line in lines:
        if line.startswith(("flags", "Features")):
            flags.update(line.split(":", 1)[1].split())
    return " ".join(name for name in _FEATURES if name in flags) or "none of " + " ".join(_FEATURES)


def _describe(model: onnx.ModelProto) -> Fused:
    operators: dict[str, int] = {}
    for node in model.graph.node:
        operators[node.op_type] = operators.get(node.op_type, 0) + 1
    return Fused(operators, tuple(name for node in model.graph.node for name in node.output if name))


def _expose(model: onnx.ModelProto, names: Sequence[str]) -> None:
    """Make every named tensor a graph output; ONNX Runtime infers their types."""
    have = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in have)
