"""Reduce a model while a command fails: nodes first, then sizes, constants and names, until nothing more can go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx

from qdqnp.reader.embed import single_file
from qdqnp.reader.proto import Source
from qdqnp.reduction.ddmin import ddmin
from qdqnp.reduction.parts import part_of, types_of
from qdqnp.reduction.plainer import constants_of, renamed, with_constant, without_texts
from qdqnp.reduction.sizes import resized, sizes_of, smaller
from qdqnp.reduction.trial import CommandTrial

#: Seconds that the command may take for one candidate.
TIMEOUT = 60.0


@dataclass(frozen=True)
class Reduced:
    """The smallest model that was found."""

    #: The model file.
    model: bytes = field(repr=False)
    command: str
    #: The exit code by which the command fails on it.
    code: int
    #: Nodes, elements of constants and bytes of the model itself, and of the smallest one.
    before: dict[str, int]
    after: dict[str, int]
    #: How many candidates were run, and of how many an earlier run had told.
    runs: int
    kept: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "command": self.command,
            "code": self.code,
            "before": self.before,
            "after": self.after,
            "runs": self.runs,
            "kept": self.kept,
            "seconds": round(self.seconds, 1),
        }


def reduce(
    source: Source,
    command: str,
    *,
    timeout: float = TIMEOUT,
    code: int | None = None,
    says: str = "",
    results: Path | None = None,
    notify: Callable[[int, int, bool], None] = lambda runs, nodes, counts: None,
) -> Reduced:
    """Return the smallest model for which a command still fails as it does for the whole one.

        source: the model.
        command: the command; {model} in it is the candidate's path, which else is its last argument.
        timeout: seconds that the command may take; a candidate for which it takes longer does not count.
        code: the exit code that counts; None for that of the command on the whole model, which must not be 0.
        says: what the command's output must have, too.
        results: a folder that keeps what was tried, for a run that is interrupted, and the smallest model so far.
        notify: is called with the number of runs, the nodes of the smallest model so far, and whether the last counted.

    Raises InputError where the command does not fail on the model itself, ModelError for what is no model.

    >>> from qdqnp.inputs.shipped import shipped_model
    >>> found = reduce(shipped_model("dla46_c_int8"), "grep -c GlobalAveragePool", code=0)
    >>> found.before["nodes"] > 300, found.after["nodes"], found.code
    (True, 1, 0)
    """
    model = onnx.load_model_from_string(single_file(source))
    start = time.monotonic()
    least = [len(model.graph.node)]

    def told(candidate: onnx.ModelProto, counts: bool) -> None:
        least[0] = min(least[0], len(candidate.graph.node)) if counts else least[0]
        notify(trial.runs, least[0], counts)

    trial = CommandTrial(command, timeout, code, says, results, told)
    trial.begin(model)
    best = model
    while True:
        smallest = _once(best, trial)
        if smallest == best:
            break
        best = smallest
    assert trial.code is not None
    data = bytes(best.SerializeToString(deterministic=True))
    seconds = time.monotonic() - start
    return Reduced(data, command, trial.code, _size(model), _size(best), trial.runs, trial.kept, seconds)


def _size(model: onnx.ModelProto) -> dict[str, int]:
    elements = sum(_count(tensor) for tensor in model.graph.initializer)
    return {"nodes": len(model.graph.node), "elements": elements, "bytes": model.ByteSize()}


def _count(tensor: onnx.TensorProto) -> int:
    count = 1
    for size in tensor.dims:
        count *= size
    return count


def _once(model: onnx.ModelProto, trial: CommandTrial) -> onnx.ModelProto:
    """Go through everything that may become smaller once."""
    model = _fewer_nodes(model, trial)
    for candidates in (_sizes, _constants, _texts):
        for candidate in candidates(model):
            if trial.counts(candidate):
                model = candidate
                return _once(model, trial) if candidates is _sizes else _rest(model, trial)
    return model


def _rest(model: onnx.ModelProto, trial: CommandTrial) -> onnx.ModelProto:
    """Make constants and texts plain, one after the other."""
    changed = True
    while changed:
        changed = False
        for candidates in (_constants, _texts):
            for candidate in candidates(model):
                if candidate != model and trial.counts(candidate):
                    model, changed = candidate, True
                    break
    return model


def _fewer_nodes(model: onnx.ModelProto, trial: CommandTrial) -> onnx.ModelProto:
    types = types_of(model)

    def holds(kept: list[int]) -> bool:
        part = part_of(model, kept, types) if kept else None
        return part is not None and trial.counts(part)

    kept = ddmin(range(len(model.graph.node)), holds)
    if len(kept) == len(model.graph.node):
        return model
    found = part_of(model, kept, types)
    assert found is not None
    return found


def _sizes(model: onnx.ModelProto) -> Iterator[onnx.ModelProto]:
    for size in sizes_of(model):
        for to in smaller(size):
            yield resized(model, size, to)


def _constants(model: onnx.ModelProto) -> Iterator[onnx.ModelProto]:
    for at in constants_of(model):
        for value in (0, 1):
            yield with_constant(model, at, value)


def _texts(model: onnx.ModelProto) -> Iterator[onnx.ModelProto]:
    plain = without_texts(model)
    if plain != model:
        yield plain
    with suppress(ValueError):
        short = renamed(plain)
        if short != plain:
            yield short
