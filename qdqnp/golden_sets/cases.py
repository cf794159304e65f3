"""What a set holds of one more input of the network: computed wherever the engine has it computed, as bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from qdqnp.element_types import plain
from qdqnp.engine import digest
from qdqnp.executor.plan import Plan
from qdqnp.files.documents import parse_json
from qdqnp.golden_sets.capture import captured_tensors
from qdqnp.golden_sets.catalog import Catalog, Entry
from qdqnp.golden_sets.options import Options
from qdqnp.golden_sets.writers.raw import as_bytes
from qdqnp.model import Model
from qdqnp.numerics.profile import Profile
from qdqnp.quant import Array

# Of the length of the list of tensors, which stands before their bytes.
_LENGTH = 8


@dataclass(frozen=True)
class CaseJob:
    """Captures the tensors of one input of the network. The result is a list of all, as JSON, and the stored bytes of
    those that are wanted."""

    #: The model.
    model: Model
    #: The arithmetic, which may run in float32 what is not of the set.
    profile: Profile
    #: Indices of the layers of the set.
    steps: frozenset[int]
    #: What the set holds.
    options: Options
    #: Keys of the tensors whose bytes each input has anew.
    repeated: frozenset[str]

    def identity(self) -> Mapping[str, Any]:
        chosen = {"steps": sorted(self.steps), "options": asdict(self.options), "repeated": sorted(self.repeated)}
        return {"golden": digest(self.model.graph), "profile": digest(self.profile), "chosen": digest(chosen)}

    def blobs(self) -> Mapping[str, bytes]:
        return {}

    def prepare(self, blobs: Mapping[str, bytes]) -> Callable[[Mapping[str, Array]], bytes]:
        plan = self.model.plan(self.profile)
        return lambda feeds: self._captured(plan, feeds)

    def _captured(self, plan: Plan, feeds: Mapping[str, Array]) -> bytes:
        listed: list[Any] = []
        parts: list[memoryview] = []
        for tensor, array in captured_tensors(plan, feeds, self.steps, self.options):
            if tensor.role in self.options.wanted:
                listed.append([tensor.key, tensor.name, tensor.dtype, list(tensor.shape)])
                if tensor.key in self.repeated:
                    parts.append(as_bytes(tensor.order.stored(plain(array))))
        head = json.dumps(listed).encode()
        return b"".join([len(head).to_bytes(_LENGTH, "little"), head, *parts])


def repeated(captured: bytes, catalog: Catalog, case: int) -> Iterator[tuple[Entry, Array]]:
    """Yield the entries of which an input of the network has values anew, each with the stored array.

        captured: what a CaseJob has made.
        catalog: what the first input had.
        case: the number of the input.

    Raises GoldenError where the input is not like the first, ValueError for what no CaseJob has made.
    """
    at = _LENGTH + int.from_bytes(captured[:_LENGTH], "little")
    for key, name, dtype, shape in parse_json(captured[_LENGTH:at]):
        entry = catalog.again(key, name, dtype, tuple(shape), case)
        if entry.repeats:
            yield entry, np.ndarray(entry.tensor.stored_shape, np.dtype(dtype).newbyteorder("<"), captured, at)
            at += entry.tensor.nbytes
