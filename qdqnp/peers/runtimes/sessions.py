"""ONNX Runtime's sessions as runtimes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qdqnp.peers.ort.session import KINDS, import_onnxruntime, open_session, run_session
from qdqnp.quant import Array


class OrtRuntime:
    """One of ONNX Runtime's sessions, the level of optimization as a user opens it."""

    def __init__(self, profile: str) -> None:
        self._kind = KINDS[profile]
        self.version = f"onnxruntime {import_onnxruntime().__version__}"

    def run(self, model: Path, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        session = open_session(str(model), self._kind.users, self._kind.config)
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, run_session(session, names, inputs), strict=True))


def start(profile: str) -> OrtRuntime:
    """Return the runtime whose session a profile stands for. Raises PeerError where onnxruntime is missing."""
    return OrtRuntime(profile)
