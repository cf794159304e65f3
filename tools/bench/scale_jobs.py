"""What tools.bench.scale has the engine do: workers import this file, and not the one that runs as a command.

Each result says which process made it, and the processor time of that process when the shard began and ended.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdqnp.engine import Blobs
from qdqnp.inputs.pictures import Preprocessing
from qdqnp.inputs.runs import runs_of
from qdqnp.model import load

Items = Sequence[str]


def timed(work: Callable[[Items], object]) -> Callable[[Items], dict[str, float]]:
    """Return a function of a shard's items that does the work, and says when."""

    def task(items: Items) -> dict[str, float]:
        began = time.process_time()
        work(items)
        return {"process": os.getpid(), "began": began, "ended": time.process_time()}

    return task


@dataclass(frozen=True)
class Nothing:
    """Computes nothing: what remains is what a shard costs by itself."""

    def identity(self) -> Mapping[str, Any]:
        return {"what": "nothing"}

    def blobs(self) -> Mapping[str, bytes]:
        return {}

    def prepare(self, blobs: Mapping[str, bytes]) -> Callable[[Items], Any]:
        return timed(len)


@dataclass(frozen=True)
class Classify:
    """Reads pictures, and runs a network on each."""

    #: The model's file.
    model: Blobs
    #: The arithmetic.
    profile: str
    #: What is done to a picture first.
    pictures: Preprocessing

    def identity(self) -> Mapping[str, Any]:
        return {"models": list(self.model), "profile": self.profile, "pictures": repr(self.pictures)}

    def blobs(self) -> Mapping[str, bytes]:
        return self.model

    def prepare(self, blobs: Mapping[str, bytes]) -> Callable[[Items], Any]:
        (data,) = blobs.values()
        model = load(data)
        program = model.program(self.profile)

        def classify(paths: Items) -> None:
            for run in runs_of(program, [Path(path) for path in paths], self.pictures):
                model.run(run.feeds(), profile=self.profile)

        return timed(classify)
