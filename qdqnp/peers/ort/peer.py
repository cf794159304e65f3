"""ONNX Runtime beside us: every tensor of the graph that a session of it runs.

Graph outputs added before optimization un-fuse ONNX Runtime's graph and change the numbers. So it first writes its
optimized graph; the outputs are added to that; and the result runs with optimization off. That this is still the
same computation is checked: the plain session's outputs must be the same bits.
"""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from qdqnp.errors import PeerError, Problem
from qdqnp.files.regular import read_bytes
from qdqnp.limits import MAX_FILE_BYTES, MAX_TEXT_BYTES
from qdqnp.lowering.ort.transformers import HARMLESS, REPRODUCED, TRANSFORMERS, UNPROMISED
from qdqnp.peers.ort.names import Pairs, pairs
from qdqnp.peers.ort.session import (
    APPENDED,
    KINDS,
    OFF,
    TESTED,
    Here,
    Sessions,
    import_onnxruntime,
)
from qdqnp.peers.ort.users import open_kind
from qdqnp.program import Program
from qdqnp.quant import Array
from qdqnp.reader.embed import single_file
from qdqnp.reader.proto import CutModel, EditedModel, EquippedModel, Source

_FEATURES = ("sse4_1", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8")


@dataclass(frozen=True)
class Fused:
    """ONNX Runtime's optimized graph."""

    #: The number of nodes of each operator.
    operators: Mapping[str, int]
    #: Names of every node's outputs.
    tensors: tuple[str, ...]


class OrtPeer:
    """One model in ONNX Runtime, instrumented. Its attribute `config` is the session configuration that was used, and
    `fused` the optimized graph.

        source: the model.
        profile: the name of one of `KINDS`.
        threads: number of threads.
        sessions: where ONNX Runtime runs; in a `Child`, its crashes are errors.

    Raises PeerError where onnxruntime is missing, refuses the model, or does not compute on this CPU what the profile
    stands for.
    """

    def __init__(
        self,
        source: Source,
        profile: str = "ort",
        threads: int = 1,
        sessions: Sessions | None = None,
    ) -> None:
        self.kind = KINDS[profile]
        self._sessions: Sessions = sessions or Here()
        self._threads = threads
        model: Any = single_file(source) if isinstance(source, CutModel | EditedModel | EquippedModel) else source
        model = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model
        model = os.fspath(model) if isinstance(model, os.PathLike) else model
        self._plain, self.config = open_kind(self._sessions, model, self.kind, self.kind.level, threads)
        self._users = self._plain
        if self.kind.users != self.kind.level:
            self._users = self._sessions.open(model, self.kind.users, self.config, threads)
        # in one file, as the optimized model would refer to external data beside the original
        self._model = single_file(source)
        optimized = self._optimized(APPENDED)
        self.fused = _describe(optimized)
        self._graph = optimized.graph
        self._output_names = [output.name for output in optimized.graph.output]
        instrumented = onnx.ModelProto()
        instrumented.CopyFrom(optimized)
        _expose(instrumented, self.fused.tensors)
        self._exposed = [output.name for output in instrumented.graph.output]
        self._instrumented = self._sessions.open(instrumented.SerializeToString(), OFF, self.config, threads)

    def _optimized(self, without: Collection[str]) -> onnx.ModelProto:
        """Return the graph that the session runs, with some optimizers left out."""
        with tempfile.TemporaryDirectory(prefix="qdqnp-") as folder:
            path = Path(folder) / "optimized.onnx"
            self._sessions.open(self._model, self.kind.level, self.config, self._threads, path, without)
            return onnx.load_model_from_string(read_bytes(path, MAX_FILE_BYTES))

    def pairs(self, program: Program, named: Collection[str]) -> Pairs:
        """Return the optimized graph's names for the program's tensors; `named` are those of the model file."""
        return pairs(program, self._graph, named)

    def rewrites(self, names: Collection[str]) -> dict[str, str]:
        """Return the optimizer that removed each of these tensors of the file.

        Only where leaving out that one brings the tensor back.
        """
        found: dict[str, str] = {}
        if self.kind.level == OFF:
            return found
        for effect in (UNPROMISED, REPRODUCED, HARMLESS):  # the rarer ones first
            for name in (item.name for item in TRANSFORMERS if item.effect == effect and item.levels):
                missing = [tensor for tensor in names if tensor not in found and tensor not in self.fused.tensors]
                if not missing:
                    return found
                try:
                    there = set(_describe(self._optimized((*APPENDED, name))).tensors)
                except PeerError:  # some cannot be left out
                    continue
                found.update((tensor, name) for tensor in missing if tensor in there)
        return found

    def tensors(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return every tensor of the optimized graph by its name there, for inputs of the dtypes that the model
        declares.

        Raises PeerError where the instrumented graph does not give the plain session's outputs.
        """
        values = {name: np.asarray(array, order="C") for name, array in feeds.items()}
        names = self._exposed
        found = dict(zip(names, self._sessions.run(self._instrumented, names, values), strict=True))
        plain = dict(zip(self._output_names, self._sessions.run(self._plain, self._output_names, values), strict=True))
        for name, array in plain.items():
            if array.tobytes() != found[name].tobytes():
                problem = Problem(
                    f"output '{name}'",
                    "the plain session's values",
                    "others",
                    "The instrumented graph is not the computation it stands for.",
                )
                raise PeerError("ONNX Runtime's instrumented run is not its plain run", [problem])
        return {**values, **found}

    def outputs(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs of a session as users open it, at level ALL where anything is optimized, by name."""
        return dict(zip(self._output_names, self._sessions.run(self._users, self._output_names, feeds), strict=True))


def host() -> dict[str, str]:
    """Return onnxruntime's version, whether it is the tested one, and the abilities of this CPU that matter to it."""
    version = str(import_onnxruntime().__version__)
    note = "" if version.startswith(f"{TESTED}.") else f" (qdqnp is tested with {TESTED})"
    return {"onnxruntime": version + note, "cpu": f"{platform.machine()}: {_cpu_features()}"}


def _cpu_features() -> str:
    try:
        lines = read_bytes("/proc/cpuinfo", MAX_TEXT_BYTES).decode("utf-8", "replace").splitlines()
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
    """Make every named tensor a graph output; ONNX Runtime infers the types."""
    have = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in have)
