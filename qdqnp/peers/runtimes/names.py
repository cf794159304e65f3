"""The runtimes by name. Anything else that is asked for is a command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from qdqnp.errors import PeerError, Problem
from qdqnp.quant import Array


class CaseRuntime(Protocol):
    """A runtime within this process."""

    #: The packages and their versions.
    version: str

    def run(self, model: Path, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return the outputs by name. Whatever is raised is a refusal: the runtime does not take the model."""
        ...


@dataclass(frozen=True)
class RuntimeName:
    """One runtime."""

    name: str
    #: What it is, for help and documents.
    summary: str
    #: The module of this folder, and the argument of its `start`.
    module: str
    kind: str
    #: What pip installs.
    package: str


RUNTIMES: Mapping[str, RuntimeName] = {
    one.name: one
    for one in (
        RuntimeName(
            "onnxruntime",
            "ONNX Runtime, integer kernels (session.qdqisint8allowed=1)",
            "sessions",
            "ort",
            "qdqnp[ort]",
        ),
        RuntimeName("onnxruntime-x64", "ONNX Runtime as a user opens it", "sessions", "ort-x64", "qdqnp[ort]"),
        RuntimeName("onnxruntime-unfused", "ONNX Runtime, optimization off", "sessions", "ort-unfused", "qdqnp[ort]"),
        RuntimeName("reference", "onnx's ReferenceEvaluator", "evaluator", "", "onnx"),
        RuntimeName(
            "openvino",
            "OpenVINO on the CPU, in float32, activations not quantized while it runs",
            "openvino_cpu",
            "exact",
            "openvino",
        ),
        RuntimeName(
            "openvino-default", "OpenVINO on the CPU as a user opens it", "openvino_cpu", "default", "openvino"
        ),
        RuntimeName("tract", "tract", "tract_onnx", "", "tract"),
        RuntimeName("qdqnp", "qdqnp itself, under the case's profile", "own", "", "qdqnp"),
    )
}


def started(name: str, profile: str) -> CaseRuntime:
    """Return a runtime, its packages imported.

        name: one of RUNTIMES.
        profile: the profile whose cases will be run.

    Raises PeerError where a package is missing.
    """
    one = RUNTIMES[name]
    try:
        start: Callable[[str], Any] = import_module(f"qdqnp.peers.runtimes.{one.module}").start
        made: CaseRuntime = start(one.kind or profile)
    except ImportError as error:
        problem = Problem(f"runtime '{name}'", "to be installed", str(error), f'Run: pip install "{one.package}"')
        raise PeerError(f"scoring {name} needs its package", [problem]) from error
    return made
