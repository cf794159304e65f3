"""qdqnp as a runtime, under a profile."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qdqnp.model import load
from qdqnp.quant import Array
from qdqnp.version import __version__


class OwnRuntime:
    """qdqnp under one profile."""

    version = f"qdqnp {__version__}"

    def __init__(self, profile: str) -> None:
        self._profile = profile

    def run(self, model: Path, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        return load(model).run(inputs, profile=self._profile)


def start(profile: str) -> OwnRuntime:
    """Return qdqnp under a profile."""
    return OwnRuntime(profile)
