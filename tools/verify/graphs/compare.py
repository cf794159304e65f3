"""Compare one graph with ONNX Runtime: every output, bit for bit, and the operators of both optimized graphs."""

from __future__ import annotations

import functools
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

import qdqnp
from qdqnp.errors import InputError, PeerError, QdqnpError
from qdqnp.graph import Graph
from qdqnp.lowering import LOWERINGS, Lowering
from qdqnp.lowering.base import Log
from qdqnp.lowering.ort.levels import optimized
from qdqnp.peers.ort.session import KINDS, open_session, run_session

FEEDS = 3


@dataclass
class Verdict:
    """The result for one graph."""

    #: 'equal'; 'unpromised' (differs without a promise); 'wrong'; 'nodes' (outputs equal, operators not); 'crash'; or
    #: who refuses.
    kind: str
    #: The first thing that differs, or why it is refused.
    detail: str = ""


class Peer:
    """What ONNX Runtime makes of one model: its optimized graph, and its outputs for FEEDS random inputs. Raises
    PeerError where it refuses the model."""

    def __init__(self, profile: str, model: onnx.ModelProto, seed: int) -> None:
        self.model, self.data, self._seed = model, model.SerializeToString(), seed
        self.names = [output.name for output in model.graph.output]
        kind = KINDS[profile]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "optimized.onnx"
            self._session = open_session(self.data, kind.level, kind.config, save=path)
            self.graph = onnx.load(path)

    @functools.cached_property
    def runs(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Inputs and outputs of each run, by name."""
        rng, runs = np.random.default_rng(self._seed), []
        for _ in range(FEEDS):
            feeds = {entry.name: _feed(rng, entry) for entry in self.model.graph.input}
            outputs = run_session(self._session, self.names, feeds)
            runs.append((feeds, dict(zip(self.names, outputs, strict=True))))
        return runs


class Comparison:
    """One lowering, with all its passes or without some, against its profile's session."""

    def __init__(self, profile: str, without: Sequence[str] = ()) -> None:
        self.profile = profile
        self.lowering = optimized(profile, profile == "ort", without) if without else LOWERINGS[profile]

    def judge(self, model: onnx.ModelProto, seed: int) -> Verdict:
        """Compare a model. seed: of its inputs."""
        try:
            peer = Peer(self.profile, model, seed)
        except PeerError as error:
            return self._refused(model.SerializeToString(), str(error))
        return self.against(peer)

    def against(self, peer: Peer) -> Verdict:
        """Compare a model that ONNX Runtime takes."""
        try:
            ours = qdqnp.load(peer.data)
            plan = ours.plan(self.profile, self.lowering)
        except QdqnpError as error:
            return Verdict("we refuse", "; ".join(f"{p.where}: got {p.got}" for p in error.problems[:2])[:160])
        unpromised = False
        for feeds, wanted in peer.runs:
            try:
                found = ours.run(feeds, profile=self.profile, lowering=self.lowering)
            except InputError as error:  # sizes that multiplied beyond what a run may ask for
                return Verdict("we refuse", str(error.problems[0])[:160])
            for name in peer.names:
                count = _differing(found[name], wanted[name])
                if count and plan.promises[name].exact:
                    return Verdict("wrong", f"{name}: {count} of {wanted[name].size}")
                unpromised |= bool(count)
        if unpromised:
            return Verdict("unpromised")
        nodes = self._nodes(ours.graph, peer.graph)
        return Verdict("nodes", nodes) if nodes else Verdict("equal")

    def _refused(self, data: bytes, why: str) -> Verdict:
        try:
            qdqnp.load(data).plan(self.profile, self.lowering)
        except QdqnpError:
            return Verdict("both refuse", why[:120])
        return Verdict("only onnxruntime refuses", why[:160])

    def _nodes(self, graph: Graph, theirs: onnx.ModelProto) -> str:
        """Return the operators that only one of both graphs has. DQ is left out, because which copies remain is
        arbitrary; so are Transposes, which do not move through pools in qdqnp."""
        lowered = _before_expansion(self.lowering, graph)
        ours = Counter(node.op for node in lowered.nodes)
        others: Counter[str] = Counter()
        for node in theirs.graph.node:
            others.update(_operators(node))
        for counts in (ours, others):
            counts.pop("DequantizeLinear", None)
            counts.pop("Transpose", None)
        return " ".join(
            [f"-{op}" for op in (others - ours).elements()] + [f"+{op}" for op in (ours - others).elements()]
        )


def _before_expansion(lowering: Lowering, graph: Graph) -> Graph:
    with np.errstate(all="ignore"):
        for step in lowering.passes:
            if step.name not in ("expand-fused-matmul", "silu"):  # which make other operators of the same
                graph = step.run(graph, Log())
    return graph


def _operators(node: onnx.NodeProto) -> list[str]:
    """Split a node of ONNX Runtime's graph into the operators that it is made of."""
    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type in ("FusedConv", "FusedGemm"):
        return [node.op_type.removeprefix("Fused"), values["activation"].decode()]
    if node.op_type == "QuickGelu":
        return ["Sigmoid", "Mul"] + ["Mul"] * (values.get("alpha", 1.0) != 1.0)
    if node.op_type == "BiasGelu" or (node.op_type == "FastGelu" and len(node.input) == 2):
        return ["Add", node.op_type.replace("Bias", "")]
    renamed = {"NhwcMaxPool": "MaxPool", "SimplifiedLayerNormalization": "RMSNormalization"}
    return [renamed.get(node.op_type, node.op_type)]


def _feed(rng: np.random.Generator, entry: onnx.ValueInfoProto) -> Any:
    shape = [dim.dim_value for dim in entry.type.tensor_type.shape.dim]
    return (rng.standard_normal(shape) * rng.choice([0.5, 2.0, 4.0])).astype(np.float32)


def _differing(one: Any, other: Any) -> int:
    if one.shape != other.shape or one.dtype != other.dtype:
        return int(other.size) or 1
    same = one.reshape(-1).view(np.uint8) == other.reshape(-1).view(np.uint8)
    return int((~same.reshape(-1, one.itemsize).all(axis=1)).sum())
