"""Jobs for the tests: workers import them, so they are not in a test file."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qdqnp.engine import Blobs, Shard, key_of
from qdqnp.errors import InputError, Problem
from qdqnp.executor.threads import blas_libraries


@dataclass(frozen=True)
class Sums:
    """Adds numbers to the length of its blob. Each shard is noted in a folder, and each preparation."""

    folder: Path
    model: Blobs = field(default_factory=lambda: Blobs(b"a model of so many bytes"))
    #: Seconds that each shard takes.
    seconds: float = 0.0
    #: A number that ends its worker: always, or the first time only.
    deadly: int | None = None
    once: bool = False
    #: A number that is an error.
    wrong: int | None = None

    def identity(self) -> Mapping[str, Any]:
        return {"what": "sums", "models": list(self.model)}

    def blobs(self) -> Mapping[str, bytes]:
        return self.model

    def prepare(self, blobs: Mapping[str, bytes]) -> Callable[[Any], Any]:
        note(self.folder, "prepared")
        (data,) = blobs.values()
        assert len(self.model) in (0, 1) and list(blobs) == [key_of(data)]
        return lambda items: self._sum(items, len(data))

    def _sum(self, items: Sequence[int], more: int) -> dict[str, Any]:
        time.sleep(self.seconds)
        if self.deadly in items and not (self.once and any(self.folder.glob("dying*"))):
            note(self.folder, "dying")
            os.kill(os.getpid(), signal.SIGKILL)
        if self.wrong in items:
            raise InputError("bad numbers", [Problem(f"number {self.wrong}", "a good one", "a bad one", "Mend it.")])
        note(self.folder, f"done-{items[0]}")
        return {"sum": sum(items) + more, "of": list(items)}


@dataclass(frozen=True)
class Threads:
    """Says what holds BLAS to one thread in a worker, and how it takes Ctrl-C."""

    def identity(self) -> Mapping[str, Any]:
        return {}

    def blobs(self) -> Mapping[str, bytes]:
        return {}

    def prepare(self, blobs: Mapping[str, bytes]) -> Callable[[Any], Any]:
        def found(items: Any) -> Any:
            blas = [library["num_threads"] for library in blas_libraries()]  # none without threadpoolctl
            said = [os.environ.get(name) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")]
            ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
            return {"blas": blas, "said": said, "interrupt": ignored, "pid": os.getpid()}

        return found


def note(folder: Path, what: str) -> None:
    """Leave a file that says what happened, and in which process."""
    (folder / f"{what}.{os.getpid()}.{time.monotonic_ns()}").touch()


def noted(folder: Path, what: str) -> list[int]:
    """Return the processes in which it happened, once for each time."""
    return [int(path.name.split(".")[1]) for path in folder.glob(f"{what}.*")]


def shards(count: int, size: int = 3) -> list[Shard]:
    numbers = [list(range(size * index, size * index + size)) for index in range(count)]
    return [Shard(index, items, key_of(items)) for index, items in enumerate(numbers)]


def expected(count: int, size: int = 3) -> list[Any]:
    more = len(b"a model of so many bytes")
    return [{"sum": sum(shard.items) + more, "of": shard.items} for shard in shards(count, size)]
